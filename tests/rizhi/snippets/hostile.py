"""敌意的片段：按固定的种子生成，各样输出、异常、退出、线程、图，与改坏解释器的写法。"""

from collections.abc import Iterator
from random import Random

# 每样的写法；{n} 是一个小的整数，{text} 是一段怪文字的写法
OUTPUTS = (
    "print({text})",
    "print({text}, {text}, sep={text}, end='')",
    "print(*range({n}), sep='\\n', end='')",
    "print(-0.0, float('nan'), -float('inf'), {n} / 3, 1e-{n}, 10**{n})",
    "print('x' * ({n} * 1000))",
    "print('长' * ({n} << 18))",
    "for i in range({n} * 1000): print(i)",
    "import sys\nsys.stdout.write({text})\nsys.stdout.flush()",
    "import sys\nsys.stdout.writelines([{text}, '\\n', {text}])",
    "import sys\nprint({text}, file=sys.stderr)",
    "import sys\nsys.stdout.buffer.write(b'\\xff{n}\\n')",
    "import sys\nprint(sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.writable())",
    "import os\nos.write(1, b'fd {n}\\n')",
    "import os\nos.write(1, b'\\xff\\xfe{n}\\n')",
    "import os\nos.write(2, b'fd {n}\\n')",
    "import warnings\nwarnings.warn({text})",
    "import logging, sys\nlogging.basicConfig(stream=sys.stdout)\nlogging.warning({text})",
    "import pprint\npprint.pprint({{i: {text} for i in range({n})}})",
    "class Odd:\n    def __repr__(self): return {text}\nprint(Odd(), [Odd()] * {n})",
    "class Sub(str): pass\nprint(Sub({text}), end=Sub('\\n'))",
    "for i in range({n}): print(f'{{i}}%', end='\\r')",
    "print('\\x1b[3{n}m红\\x1b[0m\\x1b[2K')",
    "print('`' * {n}, '<script>', '</pre>', '&amp;', '{{{{ n }}}}', '# %% 假的一格')",
    "import tqdm\nfor _ in tqdm.tqdm(range({n}), ncols=40, disable=True): pass",
)
EXCEPTIONS = (
    "raise ValueError({text})",
    "raise KeyError({text}, {n})",
    "raise Exception",
    "class E(Exception):\n    def __str__(self): raise RuntimeError({text})\nraise E",
    "class E(Exception):\n    def __str__(self): return {n}\nraise E",
    "class E(Exception):\n    def __repr__(self): raise SystemExit\nraise E({n})",
    "class E(BaseException):\n    def __str__(self): raise KeyboardInterrupt\nraise E",
    "class E(BaseException): pass\nraise E({text})",
    "E = type({text}[:1] or 'E', (Exception,), {{}})\nraise E({n})",
    "class E(Exception): __slots__ = ()\nE.__module__ = {n}\nraise E",
    "class E(Exception):\n    __name__ = property(lambda s: 1 / 0)\nraise E",
    "raise ExceptionGroup({text}, [ValueError({n}), ExceptionGroup('b', [KeyError({text})])])",
    "raise BaseExceptionGroup('b', [KeyboardInterrupt(), SystemExit({n})])",
    "exec('x = (')",
    "exec('\\n' * {n} + '1 / 0')",
    "compile('\\0', {text}, 'exec')",
    "import ast\nast.literal_eval('(' * {n}00)",
    "def f(): return f()\nf()",
    "class R:\n    def __repr__(self): return repr(self)\nprint(R())",
    "x = []\nfor _ in range({n}0000): x = [x]\nprint(len(repr(x)))",
    "raise SystemExit({{'a': object}})",
    "raise KeyboardInterrupt({n})",
    "raise GeneratorExit",
    "raise StopIteration({n})",
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError({text}) from e",
    "e = ValueError(1)\ne.__cause__ = e\nraise e",
    "e = ValueError(1)\ne.add_note({text})\nraise e",
    "e = ValueError(1)\ne.__traceback__ = None\nraise e",
    "assert False, {text}",
    "raise UnicodeDecodeError('utf-8', b'\\xff', 0, 1, {text})",
    "b'\\xff'.decode()",
    "raise OSError({n}, {text}, {text})",
    "import torch\ntorch.zeros({n}, 3) @ torch.zeros(5, {n})",
    "del undefined_{n}",
    "1 / 0 if {n} else 2",
    "raise 'text'",
    "(lambda: (yield))().throw(TypeError({text}))",
    "import gc\nclass D:\n    def __del__(self): raise ValueError({n})\nD()\ngc.collect()",
)
EXITS = (
    "exit()",
    "quit({n})",
    "import sys\nsys.exit({text})",
    "raise SystemExit",
    "import os\nos._exit({n})",
    "import os\nos.abort()",
    "import os, signal\nos.kill(os.getpid(), signal.SIG{signal})",
    "import signal\nsignal.raise_signal(signal.SIG{signal})",
    "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.0{n})\ntime.sleep(5)",
    "import ctypes\nctypes.string_at({n})",
    "import atexit\natexit.register(print, {text})",
    "import atexit, os\natexit.register(os._exit, {n})",
    "import os\nos.close({fd})",
    "import os\nos.closerange(3, {n}0)",
    "import os\nos.dup2(os.open('mine', os.O_WRONLY | os.O_CREAT), {fd})",
    "import sys\nsys.stdin.close()\nprint(sys.stdin.closed)",
    "import sys\nsys.stdout.close()",
    "import os, threading\nt = threading.Thread(target=os._exit, args=({n},))\nt.start()\nt.join()",
    "import _thread, time\n_thread.interrupt_main()\ntime.sleep(0.0{n})",
    "import faulthandler\nfaulthandler.enable()\nfaulthandler._sigsegv()",
)
THREADS = (
    "import threading\nt = threading.Thread(target=print, args=({text},))\nt.start()\nt.join()",
    "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\nprint({n})",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    "import threading\nthreading.Timer(60, print, [{text}]).start()",
    "import threading\nx = threading.Lock()\nwith x: print(x.locked())",
    "from concurrent.futures import ThreadPoolExecutor as T\nwith T({n}) as p: print(*p.map(abs, "
    "range({n})))",
    "from concurrent.futures import ThreadPoolExecutor as T\nprint(T(1).submit(lambda: 1 / 0)"
    ".result())",
    "import threading\nthreading.excepthook = None\nt = threading.Thread(target=lambda: 1 / 0)\n"
    "t.start()\nt.join()",
    "import asyncio\nasync def f(): return {text}\nprint(asyncio.run(f()))",
    "import asyncio\nasync def f(): raise SystemExit({n})\nasyncio.run(f())",
    "import queue, threading\nq = queue.Queue()\nts = [threading.Thread(target=q.put, args=(i,)) "
    "for i in range({n})]\n[t.start() for t in ts]\n[t.join() for t in ts]\nprint(q.qsize())",
    "import threading\nprint(threading.active_count() > 0, threading.current_thread().name)",
    "import threading\nt = threading.Thread(target=exit)\nt.start()\nt.join()",
)
FIGURES = (
    "{plt}plt.plot([{n}, 2])",
    "{plt}for _ in range({n}): plt.figure()",
    "{plt}plt.title({text})",
    "{plt}plt.title('$\\\\frac{{1}}{{{n}$')",
    "{plt}plt.plot([{n}])\nplt.close()",
    "{plt}plt.plot([{n}])\nplt.show()\nprint({n})",
    "{plt}plt.imshow([[0, {n}], [1, 2]])",
    "{plt}plt.plot(range({n}0000), [i % 7 for i in range({n}0000)])",
    "{plt}plt.figure(figsize=({n}00, 1))",
    "{plt}plt.figure(figsize=({n}0000, 10000))\nplt.plot([1])",
    "{plt}plt.figure({text})",
    "{plt}plt.plot([1])\nplt.savefig('mine.png')",
    "{plt}plt.plot([1])\nplt.savefig('../outside.png')",
    "{plt}plt.rcParams['svg.fonttype'] = 'none'\nplt.plot([{n}])\nplt.ylabel({text})",
    "{plt}plt.rcParams['font.family'] = {text}\nplt.title('字')",
    "import matplotlib\nmatplotlib.use('svg')\n{plt}plt.plot([1])",
    "import matplotlib\nmatplotlib.use('nope{n}')",
    "{plt}plt.switch_backend('pdf')\nplt.plot([{n}])",
    "{plt}plt.gca().set_position([{n}, float('nan'), 1, 1])",
    "{plt}plt.plot([float('nan')] * {n})\nplt.yscale('log')",
    "{plt}plt.gcf().savefig = None\nplt.plot([1])",
    "{plt}plt.savefig = plt.get_fignums = None\nplt.plot([1])",
    "{plt}plt.gcf().draw = lambda *_: 1 / 0\nplt.plot([1])",
    "from matplotlib.figure import Figure\nFigure().savefig('mine.svg')",
    "{plt}plt.text(0, 0, 'a' * {n}000)",
    "{plt}plt.plot([1], label={text})\nplt.legend()\nprint({text})",
)
STATE = (
    "import sys\nsys.stdout = None",
    "import sys\nsys.stdout = sys.stderr",
    "import io, sys\nsys.stdout = io.StringIO()\nprint({n})",
    "import sys\nsys.stdout = sys.__stdout__\nprint({n})",
    "import sys\nsys.__stdout__ = None",
    "import sys\ndel sys.stdout",
    "import sys\nsys.modules.clear()",
    "import sys\nfor name in list(sys.modules):\n    if name.startswith('rizhi'): "
    "del sys.modules[name]",
    "import sys\nsys.modules['rizhi.snippets.cells'] = None",
    "import sys\nsys.path.clear()\nsys.meta_path.clear()",
    "import builtins\nbuiltins.print = lambda *a: None",
    "import builtins\nbuiltins.open = builtins.len = builtins.str = None",
    "import builtins\nbuiltins.__import__ = None",
    "import builtins\nbuiltins.__dict__.clear()",
    "del __file__",
    "__file__ = {n}",
    "__name__ = None\nglobals().clear()",
    "import os\nos.chdir('/')",
    "import os\nos.mkdir('sub')\nos.chdir('sub')\nos.rmdir('../sub')",
    "import os\nos.environ.clear()",
    "import os\nos.umask(0o777)\nopen('mine', 'w').close()",
    "import sys\nsys.settrace(lambda *_: 1 / 0)\nprint({n})",
    "import sys\nsys.settrace(lambda *_: None)\nsys.setprofile(lambda *_: None)\nprint({n})",
    "import sys\nsys.setrecursionlimit({n}0)",
    "import sys\nsys.excepthook = sys.unraisablehook = None",
    "import gc\ngc.disable()\ngc.freeze()\nprint(gc.isenabled())",
    "import gc\ngc.set_threshold(1)\nprint({n})",
    "import traceback\ntraceback.extract_tb = None\n1 / 0",
    "import linecache\nlinecache.getline = linecache.checkcache = None\n1 / 0",
    "import pathlib\npathlib.Path.__str__ = lambda _: 1 / 0",
    "import pickle\npickle.dumps = pickle.Pickler = None",
    "import multiprocessing.connection as c\nc.Connection.send = None",
    "import random, numpy, torch\nrandom.seed({n})\nnumpy.random.seed({n})\n"
    "torch.manual_seed({n})\nprint(random.random())",
    "import locale\nlocale.setlocale(locale.LC_ALL, 'C')\nprint({n})",
    "import sys\nsys.set_int_max_str_digits(0)\nprint(len(str(10**{n}0000)))",
    "import warnings\nwarnings.simplefilter('error')\nwarnings.warn({text})",
    "import time\ntime.monotonic = time.sleep = None\nprint({n})",
    "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "import torch\ntorch.set_default_dtype(torch.float64)\nprint(torch.ones({n}))",
    "import torch\ntorch.set_num_threads({n})\nprint(torch.get_num_threads() > 0)",
)
KINDS = (OUTPUTS, EXCEPTIONS, EXITS, THREADS, FIGURES, STATE)
TEXTS = (
    "''",
    "'普通的文字'",
    "'a\\0b'",
    "'\\ud800半个'",
    "'\\r\\n\\r行\\x0b\\x0c\\x85\\u2028尾'",
    "'\\ufeff\\u200b\\u202e倒\\x7f\\x1b[31m'",
    "'🀄' * 3",
    "'x' * 3000",
    "'\\t  前后有空白  \\n\\n'",
    "'$100 {{x}} %s <b>&lt;'",
    "'e\\u0301 é'",
    "'tensor(0.5000) -0.0000 1e-8'",
)
TITLES = (
    "普通",
    "带:冒号/斜杠\\与点..",
    "！！！",
    "<b>&\"'</b>",
    "x" * 80,
    "检验 %d $x",
    "🀄 ` ` `",
)
SIGNALS = ("TERM", "INT", "HUP", "SEGV", "ALRM", "USR1", "KILL", "PIPE", "XFSZ")


def snippets(count: int, seed: int) -> Iterator[str]:
    """`count` 个片段文件的文字；各样轮着来，每个有一两格敌意的，前后各有一格普通的。"""
    random = Random(seed)
    for number in range(count):
        bodies = [random.choice(KINDS[number % len(KINDS)])]
        if random.random() < 0.3:
            bodies.append(random.choice(random.choice(KINDS)))
        # 最后的表达式，有的显示，有的不
        bodies = [body + random.choice(("", ";", ";")) for body in bodies]
        titles = random.sample(TITLES, len(bodies))
        cells = [("先", "held = print\nprint('先')")]
        cells += [(t, _fill(b, random)) for t, b in zip(titles, bodies, strict=True)]
        cells.append(("后", "print('后')"))
        yield "\n".join(f"# %% {title}\n{body}" for title, body in cells) + "\n"


def _fill(body: str, random: Random) -> str:
    while "{text}" in body:
        body = body.replace("{text}", random.choice(TEXTS).replace("{", "{{").replace("}", "}}"), 1)
    return body.format(
        n=random.randint(1, 9),
        fd=random.randint(0, 9),
        signal=random.choice(SIGNALS),
        plt="from matplotlib import pyplot as plt\n",
    )
