"""What Homeport decides, as pure functions: permissions, the login slow-down."""
