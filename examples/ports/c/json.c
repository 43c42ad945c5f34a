#include "json.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ==== Memory ==== */

struct piece {
    struct piece *next;
    max_align_t start[];
};

void *pool_take(pool *p, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - sizeof(struct piece) - 1) / size)
        return NULL;
    struct piece *fresh = calloc(1, sizeof *fresh + count * size + 1);
    if (!fresh)
        return NULL;
    fresh->next = p->pieces;
    p->pieces = fresh;
    return fresh->start;
}

void pool_release(pool *p)
{
    while (p->pieces) {
        struct piece *next = p->pieces->next;
        free(p->pieces);
        p->pieces = next;
    }
}

/* ==== JSON ==== */

enum { DEEPEST = 64 };

typedef struct {
    pool *memory;
    char *at, *end;
    int depth;
    const char *reason;
} reader;

static json *read_value(reader *r);

static json *malformed(reader *r, const char *reason)
{
    if (!r->reason)
        r->reason = reason;
    return NULL;
}

static json *new_value(reader *r, json_kind kind)
{
    json *value = pool_take(r->memory, 1, sizeof *value);
    if (!value)
        return malformed(r, "out of memory");
    value->kind = kind;
    return value;
}

static void skip_space(reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static bool skip_char(reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(reader *r)
{
    const char *start = r->at;
    while (is_digit(*r->at))
        r->at++;
    return r->at > start;
}

static json *read_number(reader *r)
{
    char *start = r->at;
    bool legal = true;
    if (*r->at == '-')
        r->at++;
    if (*r->at == '0')
        r->at++;
    else
        legal = skip_digits(r);
    if (*r->at == '.') {
        r->at++;
        legal = skip_digits(r) && legal;
    }
    if (*r->at == 'e' || *r->at == 'E') {
        r->at++;
        if (*r->at == '+' || *r->at == '-')
            r->at++;
        legal = skip_digits(r) && legal;
    }
    if (!legal)
        return malformed(r, "a number that is none");
    json *value = new_value(r, JSON_NUMBER);
    if (value) {
        value->number = strtod(start, NULL);
        value->text = start;
        value->length = (size_t)(r->at - start);
    }
    return value;
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) % 16 : -1;
}

/* The four hexadecimal digits of an escape, or -1. */
static long read_code(reader *r)
{
    long code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = r->at < r->end ? hex_value(*r->at) : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
        r->at++;
    }
    return code;
}

static char *put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* Read what follows "\u" and write it, which is never longer than the escape was; NULL where it is no character. */
static char *read_unicode(reader *r, char *out)
{
    long code = read_code(r);
    if (code >= 0xD800 && code < 0xDC00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return NULL;
        r->at += 2;
        long low = read_code(r);
        code = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : -1;
    } else if (code >= 0xDC00 && code < 0xE000) {
        return NULL;
    }
    return code > 0 ? put_utf8(out, (unsigned long)code) : NULL; /* a 0 would end the text */
}

static char *read_escape(reader *r, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *r->at++;
    if (c == 'u')
        return read_unicode(r, out);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return NULL;
    *out = to[found - from];
    return out + 1;
}

/* Undo the escapes of a string where it stands; its first quote has been read. */
static char *read_text(reader *r, size_t *length)
{
    char *start = r->at, *out = r->at;
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20) {
            malformed(r, "a control character in a string");
            return NULL;
        }
        if (*r->at == '\\') {
            r->at++;
            out = r->at < r->end ? read_escape(r, out) : NULL;
            if (!out) {
                malformed(r, "an escape that is none");
                return NULL;
            }
        } else {
            *out++ = *r->at++;
        }
    }
    if (r->at == r->end) {
        malformed(r, "a string without an end");
        return NULL;
    }
    r->at++;
    *out = '\0';
    *length = (size_t)(out - start);
    return start;
}

static json *read_string(reader *r)
{
    json *value = new_value(r, JSON_STRING);
    if (value)
        value->text = read_text(r, &value->length);
    return value && value->text ? value : NULL;
}

/* The members of an array or an object, whose first bracket has been read. */
static json *read_members(reader *r, json_kind kind, char close)
{
    json *value = new_value(r, kind), **last = value ? &value->child : NULL;
    if (!value || skip_char(r, close))
        return value;
    do {
        const char *name = NULL;
        size_t length;
        if (kind == JSON_OBJECT) {
            name = skip_char(r, '"') ? read_text(r, &length) : NULL;
            if (!name || !skip_char(r, ':'))
                return malformed(r, "an object whose member has no name");
        }
        json *member = read_value(r);
        if (!member)
            return NULL;
        member->name = name;
        *last = member;
        last = &member->next;
    } while (skip_char(r, ','));
    return skip_char(r, close) ? value : malformed(r, "an array or an object without an end");
}

static json *read_nested(reader *r)
{
    bool object = *r->at++ == '{';
    if (++r->depth > DEEPEST)
        return malformed(r, "it is nested too deeply");
    json *value = read_members(r, object ? JSON_OBJECT : JSON_ARRAY, object ? '}' : ']');
    r->depth--;
    return value;
}

static bool skip_word(reader *r, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

static json *read_word(reader *r)
{
    bool yes = skip_word(r, "true");
    if (yes || skip_word(r, "false")) {
        json *value = new_value(r, JSON_BOOL);
        if (value)
            value->boolean = yes;
        return value;
    }
    return skip_word(r, "null") ? new_value(r, JSON_NULL) : malformed(r, "a value that is none");
}

static json *read_value(reader *r)
{
    skip_space(r);
    if (r->at == r->end)
        return malformed(r, "it ends too early");
    if (*r->at == '{' || *r->at == '[')
        return read_nested(r);
    if (*r->at == '-' || is_digit(*r->at))
        return read_number(r);
    if (*r->at != '"')
        return read_word(r);
    r->at++;
    return read_string(r);
}

json *json_read(pool *p, char *line, size_t length, const char **reason)
{
    reader r = {.memory = p, .at = line, .end = line + length};
    json *value = read_value(&r);
    skip_space(&r);
    if (value && r.at != r.end)
        value = malformed(&r, "something follows the value");
    *reason = r.reason;
    return value;
}

const json *json_member(const json *object, const char *name)
{
    if (!object || object->kind != JSON_OBJECT)
        return NULL;
    for (const json *member = object->child; member; member = member->next)
        if (strcmp(member->name, name) == 0)
            return member;
    return NULL;
}

bool json_is(const json *value, const char *text)
{
    return value && value->kind == JSON_STRING && strcmp(value->text, text) == 0;
}

void json_write_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            putc('\\', out);
        putc(c < 0x20 || c > 0x7E ? '?' : c, out);
    }
    putc('"', out);
}

/* ==== Base64 ==== */

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_size(size_t bytes)
{
    return bytes / 3 * 4 + (bytes % 3 ? 4 : 0);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(const char *text, size_t length, unsigned char *out, size_t bytes)
{
    if (length != base64_size(bytes))
        return false;
    for (size_t done = 0; done < bytes; done += 3, text += 4) {
        size_t left = bytes - done < 3 ? bytes - done : 3;
        uint32_t group = 0;
        for (size_t i = 0; i < 4; i++) {
            int digit = i <= left ? base64_value(text[i]) : text[i] == '=' ? 0 : -1;
            if (digit < 0)
                return false;
            group = group << 6 | (uint32_t)digit;
        }
        for (size_t i = 0; i < left; i++)
            out[done + i] = (unsigned char)(group >> (16 - 8 * i));
    }
    return true;
}

void base64_write(FILE *out, const unsigned char *bytes, size_t count)
{
    for (size_t done = 0; done < count; done += 3) {
        size_t left = count - done < 3 ? count - done : 3;
        uint32_t group = 0;
        for (size_t i = 0; i < 3; i++)
            group = group << 8 | (i < left ? bytes[done + i] : 0u);
        for (size_t i = 0; i < 4; i++)
            putc(i <= left ? ALPHABET[group >> (18 - 6 * i) & 63] : '=', out);
    }
}
