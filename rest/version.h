/* version.h: what /__version__ shows. worker.c reads it once, at the start. */
#ifndef CTMS_REST_VERSION_H
#define CTMS_REST_VERSION_H

/*
 * JSON text with "source", "version", "commit" and "build": from the file that the build wrote, or,
 * if there is none, with our own version. Free with free().
 */
char *version_read(const char *file);

#endif
