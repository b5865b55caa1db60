"""The errors of hpcgauge and the exit code that each one gives the command line. Each text names the remedy."""


class ConfigError(ValueError):
    """The configuration is wrong: the text names the key, its value and what would be right."""


class FileFormatError(ValueError):
    """A file is not what it says it is: the text names the file, the place and what was expected."""


class NewerFileError(FileFormatError):
    """A file is of a later schema than this hpcgauge reads: nothing is wrong with it."""


class PhysicsError(RuntimeError):
    """The physics is lost (NaN action, unconverged force, links off the group): the run stops."""


class DeviceError(RuntimeError):
    """The machine cannot do it (compiler, card, disk, MPI): the text names what to install or change."""


def exit_code(error: BaseException) -> int:
    """The exit code of an error: 2 wrong input, 3 lost physics, 4 the machine, 130 interrupted, 1 a bug."""
    if isinstance(error, ValueError):
        return 2
    if isinstance(error, PhysicsError):
        return 3
    if isinstance(error, DeviceError | OSError | MemoryError):
        return 4
    return 130 if isinstance(error, KeyboardInterrupt) else 1
