"""The first-boot programs, copied into images byte for byte. Nothing imports them: their bytes are read."""
