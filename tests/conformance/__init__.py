"""What a real cluster answered, asked again of this one."""
