/* version.h: what /__version__ shows. */
#ifndef CTMS_REST_VERSION_H
#define CTMS_REST_VERSION_H

/*
 * JSON text with "source", "version", "commit" and "build": from the file that the build
 * wrote, or of our own when there is none. Free with free().
 */
char *version_read(const char *file);

#endif
