/*
 * replay.c: the main() of a fuzz target without libFuzzer: runs each file of the folder that is
 * given, and prints how many there were.
 */
#include <dirent.h>
#include <string.h>

#include "test/fuzz/programs/fuzz.h"

static int
replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    static char content[1024 * 1024];
    size_t size;
    uint8_t *data;

    if (!file)
        return 0;
    size = fread(content, 1, sizeof(content), file);
    fclose(file);
    /* Not a byte more than the input, so that the sanitizer notices reads beyond it. */
    data = malloc(size + (size == 0));
    if (!data)
        return 0;
    memcpy(data, content, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

int
main(int argc, char **argv)
{
    int n_files = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;

    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(folder))) {
        char path[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        n_files += replay_file(path);
    }
    closedir(folder);
    printf("%d\n", n_files);
    return 0;
}
