"""python -m doorward.cli."""

from doorward.cli import main

if __name__ == "__main__":
    main()
