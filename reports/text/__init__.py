"""What the report says, in words made from numbers."""
