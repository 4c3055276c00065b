"""`python -m rizhi` 与命令 `rizhi` 是一回事。"""

from rizhi.cli import main

main()
