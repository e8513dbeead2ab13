"""The local code behind each function: its folder, its interpreter, its debugger."""
