from azready.cli import main

main()
