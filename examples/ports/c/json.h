/* A small reader of JSON and base64: what the protocol needs, and no more. Nothing here has a state of its own. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Memory that is taken piece by piece and given back at once. Pieces are zeroed; NULL where there is no memory. */
typedef struct pool {
    struct piece *pieces;
} pool;

void *pool_take(pool *p, size_t count, size_t size);
void pool_release(pool *p);

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_kind;

typedef struct json {
    json_kind kind;
    bool boolean;
    double number;
    const char *text; /* of a string, ended by 0; of a number, as it was written */
    size_t length;    /* of the text */
    const char *name; /* of a member of an object */
    struct json *child, *next;
} json;

/* Read one value that fills the line. The line, which a 0 ends, is written over: its strings stay there, so it has to
 * outlive the value. NULL where the line is malformed, and `reason` says how. */
json *json_read(pool *p, char *line, size_t length, const char **reason);

/* The member of an object with a name, or NULL; NULL too where the value is no object. */
const json *json_member(const json *object, const char *name);

bool json_is(const json *value, const char *text); /* whether it is that string */

void json_write_text(FILE *out, const char *text); /* with its quotes; what is no ASCII becomes a question mark */

size_t base64_size(size_t bytes);
bool base64_read(const char *text, size_t length, unsigned char *out, size_t bytes); /* false where it is malformed */
void base64_write(FILE *out, const unsigned char *bytes, size_t count);

#endif
