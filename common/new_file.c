/* new_file.c: see new_file.h. */
#include "common/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"

/* Something else would have to be removed, or be written through. */
static const char *
find_obstacle(const char *path)
{
    struct stat found;

    if (lstat(path, &found) != 0)
        return errno == ENOENT ? NULL : strerror(errno);
    if (S_ISLNK(found.st_mode))
        return "it is a symbolic link";
    return S_ISREG(found.st_mode) ? NULL : "it is not a regular file";
}

/* A name that nobody can guess, and put something there before. */
static char *
make_part_name(const char *path)
{
    unsigned long long number = 0;
    buf name = BUF_INIT;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (unsigned long long)getpid();
    buf_printf(&name, "%s.%016llx.part", path, number);
    return buf_steal(&name);
}

/* It is not ours, or has its name. Keeps errno. */
static void
forget_part(new_file *file)
{
    int error = errno;

    free(file->part);
    file->part = NULL;
    errno = error;
}

static bool
fail(new_file *file, const char **problem)
{
    int error = errno;

    new_file_discard(file);
    *problem = strerror(error);
    return false;
}

bool
new_file_open(new_file *file, const char *path, mode_t mode, const char **problem)
{
    int fd;

    *file = (new_file){.stream = NULL};
    *problem = find_obstacle(path);
    if (*problem != NULL)
        return false;
    file->path = xstrdup(path);
    file->part = make_part_name(path);
    fd = open(file->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        forget_part(file);
        return fail(file, problem);
    }
    file->stream = fdopen(fd, "w");
    if (file->stream == NULL) {
        close(fd);
        errno = ENOMEM;
        return fail(file, problem);
    }
    return true;
}

bool
new_file_finish(new_file *file, bool is_durable, const char **problem)
{
    bool is_written;
    int error;

    errno = 0;
    is_written = fflush(file->stream) == 0 && !ferror(file->stream) &&
                 (!is_durable || fsync(fileno(file->stream)) == 0);
    error = errno;
    if (fclose(file->stream) != 0 && is_written) {
        error = errno;
        is_written = false;
    }
    file->stream = NULL;
    if (!is_written) {
        errno = error != 0 ? error : EIO;
        return fail(file, problem);
    }
    /* In the meantime nothing else may have come there. */
    *problem = find_obstacle(file->path);
    if (*problem != NULL) {
        new_file_discard(file);
        return false;
    }
    if (rename(file->part, file->path) != 0)
        return fail(file, problem);
    forget_part(file);
    new_file_discard(file);
    return true;
}

void
new_file_discard(new_file *file)
{
    if (file->stream != NULL)
        fclose(file->stream);
    if (file->part != NULL)
        unlink(file->part);
    free(file->part);
    free(file->path);
    *file = (new_file){.stream = NULL};
}
