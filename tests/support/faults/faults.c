// A library to be preloaded: it writes down the calls that change files of one folder, and lets chosen ones go wrong.
//
// HPCGAUGE_FAULTS_FOLDER: the folder; HPCGAUGE_FAULTS_LOG: where RANK.log and RANK.pid go (the latter must not be there
// yet). HPCGAUGE_FAULT: "RANK CALL PATTERN NUMBER ACTION ARGUMENT": on this rank, at call number NUMBER (from 1) of
// the kind CALL to a path below the folder that the pattern fits,
//   fail E          fails with the error number E          fail-from E     this call and all such calls after it
//   short           writes half of the bytes and says so   kill-before, kill-after, kill-half    ends this process
//   kill-later T    ends it T microseconds after the call  all-before, all-after, all-half, all-later    ends all ranks
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_RANKS 64
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *const RANK_VARIABLES[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"};

static int is_on, is_mine, log_descriptor = -1, seen;
static char folder[4096], log_folder[4096];
static char fault_call[16], fault_pattern[256], fault_action[16];
static int fault_number;
static long fault_argument;

static int open_raw(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0644); }

__attribute__((constructor)) static void start(void) {
    const char *wanted = getenv("HPCGAUGE_FAULTS_FOLDER"), *logs = getenv("HPCGAUGE_FAULTS_LOG");
    const char *fault = getenv("HPCGAUGE_FAULT");
    int rank = 0, fault_rank = -1;
    char path[4200], text[32];
    if (!wanted || !logs) return;
    for (size_t i = 0; i < sizeof RANK_VARIABLES / sizeof *RANK_VARIABLES; ++i)
        if (getenv(RANK_VARIABLES[i])) {
            rank = atoi(getenv(RANK_VARIABLES[i]));
            break;
        }
    snprintf(folder, sizeof folder, "%s/", wanted);
    snprintf(log_folder, sizeof log_folder, "%s", logs);
    snprintf(path, sizeof path, "%s/%d.pid", logs, rank);
    int pid = open_raw(path, O_WRONLY | O_CREAT | O_EXCL);
    if (pid < 0) return;  // a child of the rank
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    syscall(SYS_write, pid, text, n);
    syscall(SYS_close, pid);
    snprintf(path, sizeof path, "%s/%d.log", logs, rank);
    log_descriptor = open_raw(path, O_WRONLY | O_CREAT | O_APPEND);
    is_on = log_descriptor >= 0;
    if (fault && sscanf(fault, "%d %15s %255s %d %15s %ld", &fault_rank, fault_call, fault_pattern, &fault_number,
                        fault_action, &fault_argument) == 6)
        is_mine = fault_rank == rank;
}

static void note(const char *word, const char *call, const char *path, size_t size) {
    char line[512];
    int n = snprintf(line, sizeof line, "%s %s %s %zu\n", word, call, path, size);
    syscall(SYS_write, log_descriptor, line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

static void end_now(int is_all) {
    char path[4200], text[32];
    for (int rank = 0; is_all && rank < MOST_RANKS; ++rank) {
        snprintf(path, sizeof path, "%s/%d.pid", log_folder, rank);
        int file = open_raw(path, O_RDONLY);
        if (file < 0) continue;
        ssize_t n = syscall(SYS_read, file, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        if (atoi(text) > 1 && atoi(text) != (int)getpid()) kill(atoi(text), SIGKILL);
        syscall(SYS_close, file);
    }
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void *end_later(void *unused) {
    (void)unused;
    usleep((useconds_t)fault_argument);
    end_now(!strncmp(fault_action, "all", 3));
    return NULL;
}

// What stands behind the first dash of the action is when or how much: true if it is this word.
static int is_now(const char *when) {
    const char *dash = strchr(fault_action, '-');
    return dash && !strcmp(dash + 1, when);
}

// The path below the folder, NULL if it is not there or nothing is watched.
static const char *below(const char *path) {
    size_t n = strlen(folder);
    return is_on && path && !strncmp(path, folder, n) ? path + n : NULL;
}

static const char *below_of(int descriptor, char *buffer, size_t size) {
    char link[64];
    if (!is_on) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = readlink(link, buffer, size - 1);
    buffer[n > 0 ? n : 0] = 0;
    return below(buffer);
}

// 1 if this call is the one to go wrong; ends the process here if that is to happen before it.
static int begin(const char *call, const char *path, size_t size) {
    note("begin", call, path, size);
    if (!is_mine || strcmp(call, fault_call) || fnmatch(fault_pattern, path, 0)) return 0;
    int number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (number < fault_number || (number > fault_number && strcmp(fault_action, "fail-from"))) return 0;
    note("fault", fault_action, path, size);
    if (is_now("before")) end_now(!strncmp(fault_action, "all", 3));
    return 1;
}

static int is_failing(int chosen) {
    if (!chosen || strncmp(fault_action, "fail", 4)) return 0;
    errno = (int)fault_argument;
    return 1;
}

// After the call; an interrupted write ends here, before it is noted as done.
static void finish(int chosen, const char *call, const char *path, size_t size) {
    int before = errno;
    pthread_t thread;
    if (chosen && is_now("half")) end_now(!strncmp(fault_action, "all", 3));
    note("end", call, path, size);
    if (chosen && is_now("after")) end_now(!strncmp(fault_action, "all", 3));
    if (chosen && is_now("later")) pthread_create(&thread, NULL, end_later, NULL);
    errno = before;
}

// How many bytes of a write are made: half for a short or an interrupted one.
static size_t allowed(int chosen, size_t size) {
    return chosen && (is_now("half") || !strcmp(fault_action, "short")) ? size / 2 : size;
}

// A function's body: the call as it is where nothing is watched, else noted, and failing or cut short if it is chosen.
#define CHANGE(call, path, size, failed, expression)     \
    do {                                                 \
        const char *changed = (path);                    \
        int chosen = changed ? begin(call, changed, size) : 0; \
        if (is_failing(chosen)) return failed;           \
        __typeof__(expression) result = (expression);    \
        if (changed) finish(chosen, call, changed, size); \
        return result;                                   \
    } while (0)

#define FILE_OF(descriptor) below_of(descriptor, (char[4096]){0}, 4096)
#define BYTES allowed(chosen, size)

ssize_t write(int file, const void *data, size_t size) {
    CHANGE("write", FILE_OF(file), size, -1, REAL(write)(file, data, BYTES));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    CHANGE("write", FILE_OF(file), size, -1, REAL(pwrite64)(file, data, BYTES, at));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }

// Half of several pieces: the first half of the first one.
static ssize_t write_pieces(int file, const struct iovec *piece, int n, off64_t at) {
    const char *path = FILE_OF(file);
    size_t size = 0;
    for (int i = 0; i < n; ++i) size += piece[i].iov_len;
    int chosen = path ? begin("write", path, size) : 0;
    if (is_failing(chosen)) return -1;
    struct iovec half = {n ? piece[0].iov_base : NULL, n ? piece[0].iov_len / 2 : 0};
    int is_half = n && BYTES != size;
    const struct iovec *made = is_half ? &half : piece;
    int n_made = is_half ? 1 : n;
    ssize_t done = at < 0 ? REAL(writev)(file, made, n_made) : REAL(pwritev64)(file, made, n_made, at);
    if (path) finish(chosen, "write", path, size);
    return done;
}
ssize_t writev(int file, const struct iovec *piece, int n) { return write_pieces(file, piece, n, -1); }
ssize_t pwritev64(int file, const struct iovec *piece, int n, off64_t at) { return write_pieces(file, piece, n, at); }
ssize_t pwritev(int file, const struct iovec *piece, int n, off_t at) { return write_pieces(file, piece, n, at); }

int fsync(int file) { CHANGE("sync", FILE_OF(file), 0, -1, REAL(fsync)(file)); }
int fdatasync(int file) { CHANGE("sync", FILE_OF(file), 0, -1, REAL(fdatasync)(file)); }
int rename(const char *from, const char *to) { CHANGE("rename", below(to), 0, -1, REAL(rename)(from, to)); }
int unlink(const char *path) { CHANGE("unlink", below(path), 0, -1, REAL(unlink)(path)); }
int mkdir(const char *path, mode_t mode) { CHANGE("mkdir", below(path), 0, -1, REAL(mkdir)(path, mode)); }
int ftruncate64(int file, off64_t size) { CHANGE("truncate", FILE_OF(file), size, -1, REAL(ftruncate64)(file, size)); }
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }
int truncate64(const char *path, off64_t size) { CHANGE("truncate", below(path), size, -1, REAL(truncate64)(path, size)); }
int truncate(const char *path, off_t size) { return truncate64(path, size); }
int fallocate64(int file, int mode, off64_t at, off64_t size) {
    CHANGE("allocate", FILE_OF(file), size, -1, REAL(fallocate64)(file, mode, at, size));
}
int fallocate(int file, int mode, off_t at, off_t size) { return fallocate64(file, mode, at, size); }
int posix_fallocate64(int file, off64_t at, off64_t size) {
    CHANGE("allocate", FILE_OF(file), size, (int)fault_argument, REAL(posix_fallocate64)(file, at, size));
}
int posix_fallocate(int file, off_t at, off_t size) { return posix_fallocate64(file, at, size); }

static int is_writing(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT; }

int open64(const char *path, int flags, ...) {
    va_list further;
    va_start(further, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(further, mode_t) : 0;
    va_end(further);
    // Python closes its files on exec, MPI does not: what goes wrong inside MPI's own opening is not the caller's to mend.
    CHANGE(flags & O_CLOEXEC ? "open" : "open-mpi", is_writing(flags) ? below(path) : NULL, 0, -1, REAL(open64)(path, flags, mode));
}
int open(const char *path, int flags, ...) {
    va_list further;
    va_start(further, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(further, mode_t) : 0;
    va_end(further);
    return open64(path, flags | O_LARGEFILE, mode);
}
