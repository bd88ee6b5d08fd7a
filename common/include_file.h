/*
 * include_file.h: puts a file of the source tree into the program.
 *
 * INCLUDE_FILE(name, "path/from/the/top") makes the bytes available from name to name_end; a NUL
 * follows them. Only the file with the INCLUDE_FILE can see them.
 */
#ifndef CTMS_COMMON_INCLUDE_FILE_H
#define CTMS_COMMON_INCLUDE_FILE_H

#define INCLUDE_FILE(name, path)                                                                   \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 16\n" #name ":\n"                                                             \
            ".incbin \"" path "\"\n" #name "_end:\n"                                               \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char name[] __attribute__((visibility("hidden")));                                \
    extern const char name##_end[] __attribute__((visibility("hidden")))

#endif
