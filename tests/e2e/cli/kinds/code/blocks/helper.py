WHERE = "blocks"
