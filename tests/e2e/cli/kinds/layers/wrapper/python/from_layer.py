"""What a layer brings, here and on Lambda."""

WHERE = "wrapped"
