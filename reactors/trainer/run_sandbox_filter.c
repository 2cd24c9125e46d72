/*
 * The system calls that a sandbox is refused: see run_sandbox.h.
 *
 * Design: a classic BPF program of seccomp(2). What is named gets EPERM; clone3, whose flags lie in memory where a filter cannot
 * look, gets ENOSYS, so that C libraries use clone; calls of another architecture kill. A namespace made inside would give
 * its maker capabilities there, and with them mounts whose memory nobody counts and much of the kernel's least tested code.
 *
 * Invariant: what Python, numpy, ZeroMQ and git need is not refused (the integration tests run them).
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "reactors/trainer/run_sandbox_private.h"

#if defined(__x86_64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "add this architecture's AUDIT_ARCH_… here"
#endif

/* Flags of clone that make namespaces. */
#define NAMESPACE_FLAGS                                                                            \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWCGROUP)

/* Above this lie the calls of x32, another architecture in the same numbers. */
#define CALLS_MAX 0x40000000u

/* Refused with EPERM. */
static const unsigned refused[] = {
    SYS_unshare,       SYS_setns,      SYS_mount,           SYS_umount2,     SYS_pivot_root,
    SYS_mount_setattr, SYS_move_mount, SYS_open_tree,       SYS_fsopen,      SYS_fsmount,
    SYS_fsconfig,      SYS_fspick,     SYS_chroot,          SYS_add_key,     SYS_request_key,
    SYS_keyctl,        SYS_bpf,        SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
    SYS_shmget,        SYS_msgget,     SYS_kexec_load,      SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_swapon,     SYS_swapoff,         SYS_reboot,      SYS_acct,
};

/* Instructions before the table of refused calls, and after it. */
#define FILTER_STEPS_MAX (16 + 2 * ARRAY_COUNT(refused))

static void add(struct sock_filter *steps, size_t *count, struct sock_filter step)
{
    assert(*count < FILTER_STEPS_MAX);
    steps[(*count)++] = step;
}

/* One step and its answer: what is equal to `value` gets `answer`. */
static void add_answer(struct sock_filter *steps, size_t *count, unsigned value, unsigned answer)
{
    add(steps, count, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    add(steps, count, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
}

static size_t write_filter(struct sock_filter *steps)
{
    const unsigned no = SECCOMP_RET_ERRNO | EPERM;
    size_t count = 0;
    add(steps, &count,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                     offsetof(struct seccomp_data, arch)));
    add(steps, &count,
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCHITECTURE, 1, 0));
    add(steps, &count, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    add(steps, &count,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    add(steps, &count, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CALLS_MAX, 0, 1));
    add(steps, &count, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        add_answer(steps, &count, refused[i], no);
    add_answer(steps, &count, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
    /* clone: flags are its first argument on both architectures, and fit into 32 bits. */
    add(steps, &count, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
    add(steps, &count,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                     offsetof(struct seccomp_data, args[0])));
    add(steps, &count,
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACE_FLAGS, 0, 1));
    add(steps, &count, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, no));
    add(steps, &count, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    return count;
}

int sandbox_filter_calls(struct error *error)
{
    struct sock_filter steps[FILTER_STEPS_MAX];
    struct sock_fprog program = {.filter = steps};
    program.len = (unsigned short)write_filter(steps);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return error_set(error, ERR_UNSUPPORTED, "filter system calls: %s", strerror(errno));
    return 0;
}
