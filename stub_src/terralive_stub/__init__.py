"""The code that runs inside Lambda (stub and broker), and the wire protocol of both ends."""
