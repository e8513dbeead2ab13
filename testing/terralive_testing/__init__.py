"""What this project's tests, benches and soak share.

Never imported by the product, never in the wheel.
"""
