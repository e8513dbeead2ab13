"""What runs inside Lambda (stub and broker), and the wire protocol both ends share."""
