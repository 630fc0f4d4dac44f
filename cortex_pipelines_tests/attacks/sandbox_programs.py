"""Attacks on the sandbox: small programs that say whether they got what they must not have.

Each is the body of a function that is run inside: it returns something true if it succeeded.
An ``OSError`` or ``MemoryError`` is the protection at work; every other error is a broken attack,
which proves nothing and fails the test. ``T`` holds what there is to be had outside.
"""

import json
import textwrap
from dataclasses import dataclass

from cortex_pipelines.execution.sandbox import seccomp


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        name: What it tries.
        body: The function's body.
        control: It succeeds for any user outside of the sandbox.
        alone: It may only be run in a sandbox of its own.
        stops: Ways in which the sandbox may end it instead of an answer: what ``Result.stopped``
            says, or ``killed`` by a signal.
    """

    name: str
    body: str
    control: bool = False
    alone: bool = False
    stops: tuple[str, ...] = ()


_PRELUDE = """
import ctypes, errno, fcntl, glob, json, mmap, os, resource, signal, socket, struct, subprocess
import sys, threading, time
T = json.load(open('targets.json'))
NR = json.loads(%r)
libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
def call(name, *words):
    number = NR[name] if isinstance(name, str) else name
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_void_p, words))
    if done == -1:
        raise OSError(ctypes.get_errno(), str(name))
    return done
def reached(name, *words):
    'whether the kernel has so much as looked at the arguments'
    try:
        call(name, *words)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.ENOSYS)
    return True
def put(path, data):
    return os.write(os.open(path, os.O_WRONLY), data)
def touch(memory):
    for place in range(0, len(memory), 4096):
        memory[place] = 1
def text(data):
    return ctypes.cast(ctypes.create_string_buffer(data), ctypes.c_void_p).value
def keep(*objects):
    KEPT.extend(objects)
KEPT = []
def answer(attack):
    try:
        got = attack()
    except (OSError, MemoryError) as error:
        return 'HELD'
    except BaseException as error:
        return 'ERROR ' + repr(error)
    return 'BROKEN ' + repr(got)[:200] if got else 'HELD'
"""

_RUNNER = """
def one(attack):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read_end)
        signal.alarm(10)
        os.write(write_end, answer(attack).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        words = file.read()
    _, status = os.waitpid(child, 0)
    return words or ('HELD' if status == signal.SIGSYS else 'ERROR ended by %d' % status)
for name, attack in ATTACKS.items():
    print(json.dumps([name, one(attack)]), flush=True)
"""


def program(attacks: list[Attack]) -> str:
    """A script that tries the attacks, each in a process of its own, and prints what came of each.

    One attack by itself is run in the script's own process.
    """
    numbers = json.dumps(seccomp.numbers())
    functions = [
        f"def attack_{n}():\n{textwrap.indent(attack.body.strip(), '    ')}\n" for n, attack in enumerate(attacks)
    ]
    table = ", ".join(f"{attack.name!r}: attack_{n}" for n, attack in enumerate(attacks))
    by_itself = f"print(json.dumps([{attacks[0].name!r}, answer(attack_0)]), flush=True)\n"
    run = by_itself if len(attacks) == 1 else f"ATTACKS = {{{table}}}\n{_RUNNER}"
    return "\n".join([_PRELUDE % numbers, *functions, run])


FILES = [
    Attack("a file outside", "return open(T['secret']).read()", control=True),
    Attack("by a path upwards", "return open('/box/../..' + T['secret']).read()"),
    Attack("by a symbolic link that came along", "return open('link').read()", control=True),
    Attack(
        "by a symbolic link that it makes", "os.symlink(T['secret'], 'mine'); return open('mine').read()", control=True
    ),
    Attack("by a hard link", "os.link(T['secret'], 'hard'); return open('hard').read()"),
    Attack("by /proc/1/root", "return open('/proc/1/root' + T['secret']).read()"),
    Attack("by /proc/self/root", "return open('/proc/self/root' + T['secret']).read(64)", True),
    Attack("by /proc/self/cwd", "return open('/proc/self/cwd/../../..' + T['secret']).read()"),
    Attack(
        "by each open descriptor",
        """
for name in os.listdir('/proc/self/fd'):
    try:
        path = os.readlink('/proc/self/fd/' + name)
    except OSError:
        continue
    if int(name) > 2 and not path.startswith('/proc/') and path != '/box/targets.json':
        if not path.startswith(('pipe:', '/box')):
            return path
""",
    ),
    Attack("by the outside process's root", "return os.listdir('/proc/%d/root' % T['pid'])", True),
    Attack("writes outside", "open(T['folder'] + '/written', 'w').write('x'); return 1", True),
    Attack("writes to this Python", "open(sys.prefix + '/written', 'w'); return 1"),
    Attack("writes to /usr", "open('/usr/written', 'w'); return 1"),
    Attack("changes a mode", "os.chmod('/usr/bin/env', 0o777); return 1"),
    Attack("takes a program away", "os.unlink(sys.executable); return 1"),
    Attack("opens the disk", "return [open(p, 'rb') for p in glob.glob('/dev/[svn][dv]*')]"),
    Attack("lists the host's folders", "return os.path.exists(T['folder'])", control=True),
    Attack("reads the users' homes", "return [n for n in os.listdir('/root') if n not in sys.base_prefix]"),
    Attack("reads the host's accounts", "return open('/etc/passwd').read()", control=True),
    Attack("makes a device", "os.mknod('disk', 0o60660, os.makedev(8, 0)); return 1"),
    Attack("makes a device elsewhere", "os.mknod('/dev/mem', 0o20660, os.makedev(1, 1)); return 1"),
    Attack("opens the machine's memory", "return open('/dev/mem', 'rb') or open('/dev/kmem', 'rb')"),
    Attack(
        "becomes root by a set-uid program",
        """
for path in glob.glob('/usr/bin/*') + glob.glob('/bin/su'):
    if os.path.exists(path) and os.stat(path).st_mode & 0o4000:
        done = subprocess.run([path, '-c', 'id -u'], capture_output=True, timeout=5, input=b'')
        if done.stdout.strip() == b'0':
            return path
""",
    ),
    Attack("maps /dev/zero", "return mmap.mmap(os.open('/dev/zero', os.O_RDWR), 1 << 20)", True),
]

PROC = [
    Attack("lists processes", "return os.path.exists('/proc/%d/stat' % T['pid'])", control=True),
    Attack("counts processes", "return len([p for p in os.listdir('/proc') if p.isdigit()]) > 24"),
    Attack("reads an environment", "return T['word'] in open('/proc/%d/environ' % T['pid']).read()", control=True),
    Attack(
        "reads all environments",
        """
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        if T['word'] in open(path).read():
            return path
    except OSError:
        continue
""",
        control=True,
    ),
    Attack("its own environment", "return T['word'] in repr(os.environ)", control=True),
    Attack("writes a setting", "return put('/proc/sys/kernel/core_pattern', b'|/x')"),
    Attack("writes a network setting", "return put('/proc/sys/net/core/somaxconn', b'9')"),
    Attack("allows namespaces again", "return put('/proc/sys/user/max_user_namespaces', b'99')"),
    Attack("requests a reboot", "return put('/proc/sysrq-trigger', b'h')"),
    Attack("lists keys", "return open('/proc/keys').read()"),
    Attack("lists users of keys", "return open('/proc/key-users').read()"),
    Attack("reads addresses in the kernel", "return open('/proc/kallsyms').read(64)"),
    Attack("reads the kernel's memory", "return open('/proc/kcore', 'rb').read(1)"),
    Attack("writes to /sys", "return put('/sys/kernel/profiling', b'1')"),
    Attack("lists /sys", "return os.listdir('/sys/kernel')"),
    Attack("writes to process 1", "open('/proc/1/mem', 'r+b').read(1); return 1"),
    Attack(
        "descriptors of process 1",
        """
paths = [os.readlink('/proc/1/fd/' + name) for name in os.listdir('/proc/1/fd')]
return [path for path in paths if path.startswith('/') and path != '/dev/null']
""",
    ),
    Attack("a better place when memory is short", "return put('/proc/self/oom_score_adj', b'-900')"),
    Attack("maps its user again", "return put('/proc/self/uid_map', b'0 0 1')"),
    Attack("control groups", "return os.listdir('/sys/fs/cgroup')"),
]

PROCESSES = [
    Attack("ends an outside process", "os.kill(T['pid'], 0); return 1", control=True),
    Attack(
        "signals everybody",
        "os.kill(-1, 0) if os.getpid() > 60000 else os.kill(T['pid'], signal.SIGURG); return 1",
        control=True,
    ),
    Attack("signals its group outside", "os.killpg(T['pid'], 0); return 1", control=True),
    Attack("ends process 1", "os.kill(1, signal.SIGKILL); time.sleep(0.2); return os.getppid() != 1 and 0"),
    Attack("a descriptor of an outside process", "return os.pidfd_open(T['pid']) > 0", control=True),
    Attack("reads another's memory", "return reached('process_vm_readv', T['pid'], 0, 0, 0, 0, 0)", True),
    Attack("writes another's memory", "return reached('process_vm_writev', T['pid'], 0, 0, 0, 0, 0)", True),
    Attack("traces itself", "return reached('ptrace', 0, 0, 0, 0)", control=True),
    Attack(
        "traces a child",
        """
child = os.fork()
if child == 0:
    time.sleep(2)
    os._exit(0)
try:
    return reached('ptrace', 16, child, 0, 0)
finally:
    os.kill(child, signal.SIGKILL)
""",
        control=True,
    ),
    Attack("compares kernel objects", "return reached('kcmp', os.getpid(), os.getpid(), 1, 0, 0)"),
    Attack("takes a descriptor", "return reached('pidfd_getfd', -1, 0, 0)", control=True),
    Attack("runs before all others", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); return 1"),
    Attack("a higher priority", "os.nice(-5); return 1"),
    Attack("a fixed layout of memory", "return reached('personality', 0x0040000)", control=True),
    Attack("becomes root", "os.setuid(0); return 1"),
    Attack("becomes another user", "os.setresuid(1, 1, 1); return 1"),
    Attack("another group", "os.setgroups([0]); return 1"),
    Attack(
        "has capabilities",
        """
lines = open('/proc/self/status').read().splitlines()
return [l for l in lines if l.startswith(('CapEff', 'CapPrm')) and int(l.split()[1], 16)]
""",
    ),
    Attack(
        "raises a limit",
        """
for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
    except ValueError:
        continue
    return kind
""",
    ),
    Attack("has no limit", "return resource.getrlimit(resource.RLIMIT_AS)[0] == -1", control=True),
]

NETWORK = [
    Attack("connects outside", "socket.create_connection(('192.0.2.1', 80), 2); return 1"),
    Attack("connects to the host", "socket.create_connection(('127.0.0.1', T['port']), 2); return 1", True),
    Attack("sends a datagram", "socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53)); return 1"),
    Attack("asks for a name", "return socket.getaddrinfo('example.org', 80)"),
    Attack(
        "an abstract socket of the host",
        "s = socket.socket(1, 1); s.connect('\\0' + T['abstract']); return 1",
        control=True,
    ),
    Attack("a socket in a folder", "s = socket.socket(1, 1); s.connect(T['socket']); return 1", True),
    Attack("raw packets", "socket.socket(2, 3, 1); return 1"),
    Attack("packets of all", "socket.socket(17, 3, 0); return 1"),
    Attack("kernel crypto", "return socket.socket(38, 5, 0)"),
    Attack("to the hypervisor", "return socket.socket(40, 1, 0)"),
    Attack(
        "switches the loopback on",
        "fcntl.ioctl(socket.socket(2, 2), 0x8914, struct.pack('16sh14s', b'lo', 1, b'')); return 1",
    ),
    Attack("has another interface", "return len(socket.if_nameindex()) > 1 and socket.if_nameindex()"),
]

TERMINAL = [
    Attack("types into the terminal", "fcntl.ioctl(0, 0x5412, b'x'); return 1"),
    Attack("asks to type into a terminal", "return reached('ioctl', 0, 0x5412, 0)", control=True),
    Attack("hides the number's upper half", "return reached('ioctl', 0, 0x100005412, 0)", control=True),
    Attack("the console's selection", "return reached('ioctl', 0, 0x541C, 0)", control=True),
    Attack("opens the terminal", "return open('/dev/tty')"),
    Attack("opens the multiplexer", "return open('/dev/ptmx', 'r+b', 0)"),
]

KEYS = [
    Attack("reads the session's key", "return call('keyctl', 10, -3, text(b'user'), text(T['key'].encode()), 0)", True),
    Attack("describes the session's keys", "return reached('keyctl', 6, -3, 0, 0, 0)", control=True),
    Attack("reads the session's keyring", "return reached('keyctl', 11, -3, 0, 0, 0)", control=True),
    Attack("the user's keyring", "return reached('keyctl', 6, -4, 0, 0, 0)", control=True),
    Attack("joins the session by name", "return reached('keyctl', 1, text(b'_ses'), 0, 0, 0)", control=True),
    Attack("asks for a key", "return reached('request_key', text(b'user'), text(b'x'), 0, 0)", True),
    Attack("keeps data as a key", "return call('add_key', text(b'user'), text(b'x'), text(b'y'), 1, -2)", True),
]

_NEW = {"user": 0x10000000, "mount": 0x20000, "process": 0x20000000, "network": 0x40000000}
_NEW |= {"IPC": 0x8000000, "host name": 0x4000000, "group": 0x2000000}
NAMESPACES = [
    *(Attack(f"a new {name} namespace", f"return reached('unshare', {flag})") for name, flag in _NEW.items()),
    *(
        Attack(
            f"a process in a new {name} namespace",
            f"child = call('clone', {flag} | 17, 0, 0, 0, 0)\nif child == 0: os._exit(0)\nreturn 1",
        )
        for name, flag in _NEW.items()
    ),
    Attack("by clone3", "return reached('clone3', 0, 0)", control=True),
    Attack("enters a namespace", "return reached('setns', 0, 0)", control=True),
    Attack("mounts", "return reached('mount', 0, 0, 0, 0, 0)"),
    Attack("unmounts", "return reached('umount2', text(b'/proc/keys'), 2)"),
    Attack("mounts in the new way", "return reached('fsopen', text(b'tmpfs'), 0)"),
    Attack("another root", "return reached('chroot', text(b'/tmp'))"),
    Attack("exchanges roots", "return reached('pivot_root', text(b'/tmp'), text(b'/tmp'))"),
    Attack("makes /usr writable", "return reached('mount_setattr', -100, text(b'/usr'), 0, 0, 0)", control=True),
    Attack("a file by its handle", "return reached('open_by_handle_at', -100, 0, 0)"),
]

_PROBED = (
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "io_setup", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module",
    "fanotify_init", "fanotify_mark", "move_mount", "open_tree", "fsconfig", "fsmount", "fspick",
    "name_to_handle_at", "process_madvise", "swapon", "swapoff", "reboot", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "syslog", "acct", "quotactl", "vmsplice",
    "mbind", "migrate_pages", "move_pages", "set_mempolicy", "vhangup", "memfd_secret", "shmat",
    "shmctl", "msgget", "msgsnd", "semget", "semop", "mq_open", "mq_unlink",
)  # fmt: skip
_FOR_ALL = {"io_setup", "name_to_handle_at", "vmsplice", "shmctl", "semop", "msgsnd", "mq_unlink"}
CALLS = [
    *(
        Attack(f"the call {name}", f"return reached({name!r}, -1, -1, -1, -1, -1, -1)", name in _FOR_ALL)
        for name in _PROBED
    ),
    Attack("a call of the future", "return reached(467, -1, -1)"),
    Attack(
        "a call in 32 bits",
        """
if os.uname().machine != 'x86_64':
    return False
code = mmap.mmap(-1, 4096, prot=7, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # getpid by int 0x80
place = ctypes.addressof(ctypes.c_char.from_buffer(code))
return ctypes.CFUNCTYPE(ctypes.c_int)(place)() > 0
""",
        stops=("killed",),
    ),
    Attack(
        "a call by x32",
        "return os.uname().machine == 'x86_64' and libc.syscall(ctypes.c_long(0x40000027)) > 0",
        stops=("killed",),
    ),
]

MEMORY = [
    Attack("a file in memory", "return os.memfd_create('x') > 0", control=True),
    Attack("a segment", "return call('shmget', 0, 1 << 20, 0o1600) >= 0", control=True),
    Attack("a queue", "return call('msgget', 0, 0o1600) >= 0", control=True),
    Attack("a large pipe", "return fcntl.fcntl(os.pipe()[0], 1031, 1 << 19)", control=True),
    Attack("a large buffer", "socket.socket(1, 1).setsockopt(1, 7, 1 << 17); return 1", control=True),
    Attack("much shared memory", "return mmap.mmap(-1, 8 * MIB)", control=True),
    Attack("much in one process", "return len(bytearray(1 << 30))", control=True),
    Attack(
        "much in many processes",
        """
for _ in range(8):
    if os.fork() == 0:
        keep(bytearray(200 * MIB))
        touch(KEPT[0])
        time.sleep(60)
        os._exit(0)
time.sleep(20)
return 1
""",
        alone=True,
        stops=("memory",),
    ),
    Attack(
        "shared memory that is kept by a page",
        """
for _ in range(400):
    piece = mmap.mmap(-1, 4 * MIB)
    touch(piece)
    keep(piece)
    place = ctypes.addressof(ctypes.c_char.from_buffer(piece))
    libc.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t(4 * MIB - 4096))
time.sleep(20)
return 1
""",
        alone=True,
        stops=("memory",),
    ),
    Attack(
        "shared memory that is let go of",
        """
for _ in range(6):
    if os.fork() == 0:
        for _ in range(40):
            piece = mmap.mmap(-1, 4 * MIB)
            touch(piece)
            piece.madvise(mmap.MADV_DONTNEED)
            keep(piece)
        time.sleep(60)
        os._exit(0)
time.sleep(20)
return 1
""",
        alone=True,
        stops=("memory",),
    ),
    Attack(
        "sockets in many processes",
        """
for _ in range(20):
    if os.fork() == 0:
        for _ in range(120):
            one, other = socket.socketpair()
            one.setblocking(False)
            keep(one, other)
            try:
                while True:
                    one.send(bytes(65536))
            except OSError:
                pass
        time.sleep(60)
        os._exit(0)
time.sleep(20)
return 1
""",
        alone=True,
        stops=("memory",),
    ),
    Attack(
        "descriptors on their way",
        """
held = []
for _ in range(4000):
    one, other = socket.socketpair()
    one.setblocking(False)
    try:
        while True:
            one.send(bytes(65536))
    except OSError:
        pass
    carrier = socket.socketpair()
    socket.send_fds(carrier[0], [b'x'], [one.fileno(), other.fileno()])
    held.append(carrier)
    one.close(), other.close()
return 1
""",
        alone=True,
        stops=("memory",),
    ),
    Attack(
        "files in memory",
        """
for number in range(100):
    open('file%d' % number, 'wb').write(bytes(MIB))
return 1
""",
        alone=True,
    ),
    Attack(
        "files in /dev/shm and /tmp",
        """
for folder in ('/dev/shm', '/tmp'):
    for number in range(100 if os.path.isdir(folder) else 0):
        open('%s/file%d' % (folder, number), 'wb').write(bytes(MIB))
return os.path.isdir('/dev/shm')
""",
        alone=True,
    ),
    Attack("many files", "for n in range(50000): os.close(os.open('f%d' % n, 66))\nreturn 1", alone=True),
    Attack("many folders", "for n in range(50000): os.mkdir('d%d' % n)\nreturn 1", alone=True),
    Attack(
        "many attributes",
        "for n in range(50000): os.setxattr('/box', 'user.%d' % n, bytes(4096))\nreturn 1",
        alone=True,
    ),
    Attack("a large file", "open('large', 'wb').truncate(1 << 40); return 1", alone=True, stops=("killed",)),
    Attack("many pipes", "for n in range(2000): keep(os.pipe())\nreturn 1", alone=True),
]

TIME = [
    Attack("all processor time", "while True: pass", alone=True, stops=("killed", "time")),
    Attack(
        "time with signals ignored",
        """
for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(600)
return 1
""",
        alone=True,
        stops=("time",),
    ),
    Attack("time by stopping itself", "os.kill(os.getpid(), signal.SIGSTOP); return 1", alone=True, stops=("time",)),
    Attack(
        "many processes",
        """
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    return made > 24
return made
""",
        alone=True,
    ),
    Attack(
        "many threads",
        """
made = 0
try:
    while made < 200:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
except RuntimeError:
    return made > 24
return made
""",
        alone=True,
    ),
    Attack("much output", "while True: print('x' * 1000)", alone=True, stops=("output",)),
    Attack("much output of errors", "while True: sys.stderr.write('x' * 1000)", alone=True, stops=("output",)),
    Attack(
        "a dump of its memory",
        """
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    os.abort()
_, status = os.wait()
return os.WCOREDUMP(status)
""",
        alone=True,
    ),
]

ATTACKS = [
    *FILES, *PROC, *PROCESSES, *NETWORK, *TERMINAL, *KEYS, *NAMESPACES, *CALLS, *MEMORY, *TIME
]  # fmt: skip
