/*
 * What is seen inside the sandbox: see run_sandbox.h.
 *
 *      tmpfs on `root`, then below it
 *          /usr /bin /sbin /lib…     as outside, read-only (links stay links)
 *          /etc/…                    the few files that programs read, none with secrets
 *          /proc                     of the new process namespace
 *          /dev                      null zero full random urandom, fd stdin stdout stderr; shm in scratch
 *          /tmp                      scratch/tmp
 *          SANDBOX_SCRATCH           scratch
 *          shown                     what the caller names
 *      pivot_root into it, the old root is unmounted, the tmpfs becomes read-only
 *
 * Design: mounts are detached from the machine's and roots are changed at the root of the mount namespace. In a chroot that is elsewhere: setns(2)
 * into the namespace that we are in already leads there, as it does nowhere but in a namespace of our own, and a chroot leads back to build what is
 * seen. So a chroot gets the same sandbox as any other place, not a weaker one.
 *
 * Sources: pivot_root(2), setns(2) (a mount namespace: the root and the working directory become the namespace's), mount_setattr(2).
 *
 * Invariant: what is not named here or by the caller is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "reactors/trainer/run_sandbox_private.h"

/* Room of the tmpfs that holds mount points only. */
#define ROOT_OPTIONS "mode=0755,size=1m"

/* Shown as they are, where they exist: programs and libraries, and what is needed to use them. */
static const char *const system_paths[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
};

static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom"};

static const struct {
    const char *name;
    const char *target;
} device_links[] = {{"/dev/fd", "/proc/self/fd"},
                    {"/dev/stdin", "/proc/self/fd/0"},
                    {"/dev/stdout", "/proc/self/fd/1"},
                    {"/dev/stderr", "/proc/self/fd/2"}};

static int fail(struct error *error, const char *what, const char *path)
{
    int number = errno;
    return error_set(error, number == EPERM || number == EACCES ? ERR_DENIED : ERR_IO, "%s %s: %s",
                     what, path, strerror(number));
}

/* Makes the folders above a path below `root`. */
static int make_parents(const char *root, const char *path, struct error *error)
{
    CLEANUP(mem_free) char *whole = mem_format("%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(whole, 0755) != 0 && errno != EEXIST)
            return fail(error, "make", whole);
        *slash = '/';
    }
    return 0;
}

/* Makes the place on which `from` is mounted: a folder or an empty file. */
static int make_place(const char *place, mode_t mode, struct error *error)
{
    if (S_ISDIR(mode))
        return mkdir(place, 0755) == 0 || errno == EEXIST ? 0 : fail(error, "make", place);
    int fd = open(place, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail(error, "make", place);
    (void)close(fd);
    return 0;
}

/* Shows `from` as `to` with mount attributes. */
static int show(const char *root, const char *from, const char *to, uint64_t attributes,
                struct error *error)
{
    struct stat status;
    if (stat(from, &status) != 0)
        return fail(error, "look at", from);
    int code = make_parents(root, to, error);
    CLEANUP(mem_free) char *place = mem_format("%s%s", root, to);
    if (code == 0)
        code = make_place(place, status.st_mode, error);
    if (code != 0)
        return code;
    struct mount_attr wanted = {.attr_set = attributes};
    if (mount(from, place, NULL, MS_BIND | MS_REC, NULL) != 0)
        return fail(error, "bind", from);
    if (mount_setattr(-1, place, AT_RECURSIVE, &wanted, sizeof(wanted)) != 0)
        return fail(error, "restrict", place);
    return 0;
}

/* A link of the system (/bin → usr/bin) stays a link; what is not there is left out. */
static int show_system(const char *root, const char *path, struct error *error)
{
    struct stat status;
    char target[4096];
    if (lstat(path, &status) != 0)
        return 0;
    if (!S_ISLNK(status.st_mode) || strncmp(path, "/etc/", 5) == 0)
        return access(path, F_OK) == 0
                   ? show(root, path, path,
                          MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, error)
                   : 0;
    ssize_t bytes = readlink(path, target, sizeof(target) - 1);
    if (bytes < 0)
        return fail(error, "read", path);
    target[bytes] = '\0';
    CLEANUP(mem_free) char *place = mem_format("%s%s", root, path);
    return symlink(target, place) == 0 ? 0 : fail(error, "link", place);
}

static int show_devices(const struct sandbox *sandbox, struct error *error)
{
    int code = make_parents(sandbox->root, "/dev/null", error);
    for (size_t i = 0; i < ARRAY_COUNT(devices) && code == 0; i++)
        code = show(sandbox->root, devices[i], devices[i], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                    error);
    for (size_t i = 0; i < ARRAY_COUNT(device_links) && code == 0; i++) {
        CLEANUP(mem_free) char *place = mem_format("%s%s", sandbox->root, device_links[i].name);
        if (symlink(device_links[i].target, place) != 0)
            code = fail(error, "link", place);
    }
    CLEANUP(mem_free) char *shm = mem_format("%s/shm", sandbox->scratch);
    return code == 0
               ? show(sandbox->root, shm, "/dev/shm", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, error)
               : code;
}

static int show_processes(const char *root, struct error *error)
{
    CLEANUP(mem_free) char *place = mem_format("%s/proc", root);
    if (mkdir(place, 0755) != 0)
        return fail(error, "make", place);
    return mount("proc", place, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0
               ? 0
               : fail(error, "mount", "/proc");
}

static int build(const struct sandbox *sandbox, struct error *error)
{
    const char *root = sandbox->root;
    const uint64_t scratch_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    int code = 0;
    for (size_t i = 0; i < ARRAY_COUNT(system_paths) && code == 0; i++)
        code = show_system(root, system_paths[i], error);
    if (code == 0)
        code = show_processes(root, error);
    if (code == 0)
        code = show_devices(sandbox, error);
    if (code == 0)
        code = show(root, sandbox->scratch, SANDBOX_SCRATCH, scratch_attributes, error);
    CLEANUP(mem_free) char *temporary = mem_format("%s/tmp", sandbox->scratch);
    if (code == 0)
        code = show(root, temporary, "/tmp", scratch_attributes, error);
    for (size_t i = 0; i < sandbox->shown_count && code == 0; i++) {
        const struct sandbox_shown *shown = &sandbox->shown[i];
        code = show(root, shown->from, shown->to,
                    scratch_attributes | (shown->writable ? 0 : MOUNT_ATTR_RDONLY), error);
    }
    return code;
}

/* Makes the root of this mount namespace the root and working directory, where a chroot had hidden it. */
static int go_to_namespace_root(struct error *error)
{
    int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int code = fd >= 0 && setns(fd, CLONE_NEWNS) == 0
                   ? 0
                   : fail(error, "leave the chroot by", "/proc/self/ns/mnt");
    if (fd >= 0)
        (void)close(fd);
    return code;
}

/* From here on no mount of this namespace reaches another. With `chroot_fd` not -1 the root is a chroot: there and back. */
static int detach_mounts(int chroot_fd, struct error *error)
{
    int code = chroot_fd >= 0 ? go_to_namespace_root(error) : 0;
    if (code == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        code = fail(error, "detach", "/");
    if (code == 0 && chroot_fd >= 0 &&
        (fchdir(chroot_fd) != 0 || chroot(".") != 0 || chdir("/") != 0))
        code = fail(error, "go back into", "the chroot");
    return code;
}

/* pivot_root(2): with "." twice the old root lies on the new one, and is unmounted from there. */
static int enter(const char *root, bool from_chroot, struct error *error)
{
    struct mount_attr wanted = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int code = fd >= 0 ? 0 : fail(error, "open", root);
    if (code == 0 && from_chroot)
        code = go_to_namespace_root(error);
    if (code == 0 && (fchdir(fd) != 0 || syscall(SYS_pivot_root, ".", ".") != 0))
        code = fail(error, "enter", root);
    if (fd >= 0)
        (void)close(fd);
    if (code != 0)
        return code;
    if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return fail(error, "leave", "the old root");
    if (mount_setattr(-1, "/", 0, &wanted, sizeof(wanted)) != 0)
        return fail(error, "restrict", "/");
    return 0;
}

/* True if "/" is no mount point: statx(2) tells since Linux 5.8; mount_setattr is younger. */
static int is_in_chroot(bool *ret_is, struct error *error)
{
    struct statx status;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &status) != 0)
        return fail(error, "look at", "/");
    *ret_is = (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0;
    return 0;
}

int sandbox_enter_root(const struct sandbox *sandbox, struct error *error)
{
    bool in_chroot = false;
    int code = is_in_chroot(&in_chroot, error);
    int chroot_fd = code == 0 && in_chroot ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (code == 0 && in_chroot && chroot_fd < 0)
        code = fail(error, "open", "/");
    if (code == 0)
        code = detach_mounts(chroot_fd, error);
    if (chroot_fd >= 0)
        (void)close(chroot_fd);
    if (code == 0 &&
        mount("tmpfs", sandbox->root, "tmpfs", MS_NOSUID | MS_NODEV, ROOT_OPTIONS) != 0)
        code = fail(error, "mount", sandbox->root);
    if (code == 0)
        code = build(sandbox, error);
    return code == 0 ? enter(sandbox->root, in_chroot, error) : code;
}
