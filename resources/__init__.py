"""Icons, font, style sheet, help pages, measured claims: files that ship with the program."""
