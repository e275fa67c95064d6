"""`python -m divrl`: the same as the command `divrl`."""

from divrl.cli import main

if __name__ == "__main__":
    main()
