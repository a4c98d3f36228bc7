"""Who is this? Passwords, tokens, keys, and the own certificate authority."""
