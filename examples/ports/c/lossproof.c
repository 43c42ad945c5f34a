/* The losses and functions of the Lossproof spec, in the order of the catalogue. lossproof.h documents the interface,
 * and spec/ is what this file was written from: an id such as CV-4 names the clause that the line implements.
 *
 * Every loss goes the same way. Its arguments are checked by its signature. Its terms are computed, one a unit.
 * `reduce` turns them into the value and into the slope of the value with respect to each term. Last, each term that
 * has a slope sends its gradient to the rows it was made of.
 */
#include "lossproof.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

enum { NOT_BOUND = -1, LETTERS = 128 };

/* ==== The frame of a call: its memory, its lengths and its outcome ==== */

typedef struct block {
    struct block *next;
    max_align_t start[];
} block;

typedef struct pending {
    struct pending *next;
    const lp_array *array;
    double *gradient;
} pending;

typedef struct lp_frame {
    const lp_signature *signature;
    const void *call;
    const double *cotangent;
    void *const *results;
    lp_array returns[LP_RESULTS];
    lp_dtype arithmetic; /* the dtype of the value (CV-18) */
    ptrdiff_t length[LETTERS];
    bool scalar[LETTERS]; /* the axis stands for one number without axes (VE-6) */
    const lp_array *leading; /* the array whose leading axes are "..." */
    block *memory;
    pending *gradients;
    lp_status status;
    lp_error *error;
} frame;

static void fail(frame *f, const char *format, ...)
{
    if (f->status != LP_OK)
        return;
    f->status = LP_INVALID;
    if (!f->error)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->error->message, sizeof f->error->message, format, arguments);
    va_end(arguments);
}

static void out_of_memory(frame *f)
{
    if (f->status == LP_OK && f->error)
        snprintf(f->error->message, sizeof f->error->message, "out of memory");
    if (f->status == LP_OK)
        f->status = LP_NO_MEMORY;
}

/* Zeroed memory that lives until the call ends; NULL, and a status, where there is none. */
static void *allocate(frame *f, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - sizeof(block)) / size) {
        out_of_memory(f);
        return NULL;
    }
    block *fresh = calloc(1, sizeof(block) + count * size + 1);
    if (!fresh) {
        out_of_memory(f);
        return NULL;
    }
    fresh->next = f->memory;
    f->memory = fresh;
    return fresh->start;
}

static double *doubles(frame *f, size_t count)
{
    return allocate(f, count, sizeof(double));
}

static size_t *sizes(frame *f, size_t count)
{
    return allocate(f, count, sizeof(size_t));
}

static size_t length(const frame *f, char letter)
{
    return (size_t)f->length[(unsigned char)letter];
}

/* ==== Arrays ==== */

lp_array lp_vector(lp_dtype dtype, size_t length, const void *data)
{
    return (lp_array){.dtype = dtype, .axes = 1, .shape = {length}, .data = data};
}

lp_array lp_matrix(lp_dtype dtype, size_t rows, size_t columns, const void *data)
{
    return (lp_array){.dtype = dtype, .axes = 2, .shape = {rows, columns}, .data = data};
}

size_t lp_count(const lp_array *array)
{
    size_t count = 1;
    for (size_t axis = 0; axis < array->axes; axis++)
        count *= array->shape[axis];
    return count;
}

size_t lp_element_size(lp_dtype dtype)
{
    static const size_t bytes[] = {0, 2, 2, 4, 8, 1, 1, 2, 4, 8, 1, 2, 4, 8};
    return bytes[dtype];
}

static const char *dtype_name(lp_dtype dtype)
{
    static const char *const names[] = {"nothing", "float16", "bfloat16", "float32", "float64", "bool",   "int8",
                                        "int16",   "int32",   "int64",    "uint8",   "uint16",  "uint32", "uint64"};
    return names[dtype];
}

static bool is_given(const lp_array *array)
{
    return array->dtype != LP_ABSENT;
}

static bool is_integer(lp_dtype dtype)
{
    return dtype >= LP_INT8;
}

static double float_at(const lp_array *array, size_t i)
{
    return array->dtype == LP_FLOAT64 ? ((const double *)array->data)[i] : (double)((const float *)array->data)[i];
}

static void store(lp_dtype dtype, void *target, const double *source, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dtype == LP_FLOAT64)
            ((double *)target)[i] = source[i];
        else
            ((float *)target)[i] = (float)source[i];
    }
}

/* An integer of any of the eight dtypes: the value of a negative one, or the bits of another (CV-31). */
typedef struct {
    bool negative;
    uint64_t bits;
} integer;

static integer signed_integer(int64_t value)
{
    return (integer){value < 0, (uint64_t)value};
}

static integer integer_at(const lp_array *array, size_t i)
{
    switch (array->dtype) {
    case LP_INT8: return signed_integer(((const int8_t *)array->data)[i]);
    case LP_INT16: return signed_integer(((const int16_t *)array->data)[i]);
    case LP_INT32: return signed_integer(((const int32_t *)array->data)[i]);
    case LP_INT64: return signed_integer(((const int64_t *)array->data)[i]);
    case LP_UINT8: return (integer){false, ((const uint8_t *)array->data)[i]};
    case LP_UINT16: return (integer){false, ((const uint16_t *)array->data)[i]};
    case LP_UINT32: return (integer){false, ((const uint32_t *)array->data)[i]};
    default: return (integer){false, ((const uint64_t *)array->data)[i]};
    }
}

static void store_integer(lp_dtype dtype, void *target, uint64_t value)
{
    switch (lp_element_size(dtype)) {
    case 1: *(uint8_t *)target = (uint8_t)value; break;
    case 2: *(uint16_t *)target = (uint16_t)value; break;
    case 4: *(uint32_t *)target = (uint32_t)value; break;
    default: *(uint64_t *)target = value;
    }
}

static bool equal(integer a, integer b) /* CV-32 */
{
    return a.negative == b.negative && a.bits == b.bits;
}

static bool below(integer value, size_t end)
{
    return !value.negative && value.bits < end;
}

/* An integer as text, for an error. */
typedef struct {
    char text[24];
} digits;

static digits in_digits(integer value)
{
    digits out;
    if (value.negative)
        snprintf(out.text, sizeof out.text, "-%llu", (unsigned long long)(~value.bits + 1));
    else
        snprintf(out.text, sizeof out.text, "%llu", (unsigned long long)value.bits);
    return out;
}

/* ==== Checks of arguments, by the signature ==== */

static const lp_array *input_of(const frame *f, const lp_input *input)
{
    return (const lp_array *)(const void *)((const char *)f->call + input->offset);
}

static void check_dtype(frame *f, const lp_input *input, const lp_array *array, const lp_array *rows)
{
    bool fits = true;
    const char *expected = "";
    switch (input->kind) {
    case LP_KIND_FLOAT: /* CV-26 */
    case LP_KIND_WEIGHT: /* CV-45, CE-17, ST-21 */
        fits = array->dtype == LP_FLOAT32 || array->dtype == LP_FLOAT64;
        expected = "float32 or float64";
        break;
    case LP_KIND_BOOL: /* CV-29 */
        fits = array->dtype == LP_BOOL;
        expected = "bool";
        break;
    case LP_KIND_LABEL: /* CV-31 */
    case LP_KIND_INDEX:
        fits = is_integer(array->dtype);
        expected = "an integer dtype";
    }
    if (!fits) {
        fail(f, "%s must be %s, got %s", input->name, expected, dtype_name(array->dtype));
        return;
    }
    if (input->kind != LP_KIND_FLOAT && input->kind != LP_KIND_WEIGHT)
        return;
    bool may_be_wider = input->kind == LP_KIND_WEIGHT || input->flags & LP_WIDER;
    if (may_be_wider ? array->dtype < rows->dtype : array->dtype != rows->dtype)
        fail(f, "%s must be %s%s, as the rows are, got %s", input->name, dtype_name(rows->dtype),
             may_be_wider ? " or wider" : "", dtype_name(array->dtype));
    if (input->kind == LP_KIND_FLOAT && array->dtype == LP_FLOAT64)
        f->arithmetic = LP_FLOAT64;
}

static void bind_axis(frame *f, const lp_input *input, char letter, size_t size)
{
    ptrdiff_t *bound = &f->length[(unsigned char)letter];
    if (*bound == NOT_BOUND)
        *bound = (ptrdiff_t)size;
    if ((size_t)*bound != size) /* CV-24 */
        fail(f, "%s must have %td for its axis %c, as another input has, got %zu", input->name, *bound, letter, size);
    else if (size == 0 && strchr("DKC", letter)) /* CV-25, CV-34 */
        fail(f, "%s must have one or more for its axis %c, got 0", input->name, letter);
}

static void bind_leading(frame *f, const lp_input *input, const lp_array *array, size_t axes)
{
    if (!f->leading) {
        f->leading = array;
        f->length['.'] = (ptrdiff_t)axes;
    }
    bool same = f->length['.'] == (ptrdiff_t)axes;
    for (size_t axis = 0; same && axis < axes; axis++)
        same = f->leading->shape[axis] == array->shape[axis];
    if (!same) /* CV-24, CV-30 */
        fail(f, "%s must have the leading axes of the first input; nothing is broadcast", input->name);
}

static size_t letter_count(const char *letters)
{
    size_t count = 0;
    for (; *letters; letters++)
        count += *letters != ' ';
    return count;
}

static void check_shape(frame *f, const lp_input *input, const lp_array *array)
{
    const char *letters = input->shape;
    size_t axis = 0;
    if (input->flags & LP_SCALAR && array->axes == 0) {
        f->length[(unsigned char)*letters] = 1;
        f->scalar[(unsigned char)*letters] = true;
        return;
    }
    bool leads = strncmp(letters, "...", 3) == 0;
    letters += leads ? 3 : 0;
    size_t named = letter_count(letters);
    if (array->axes > LP_AXES || (leads ? array->axes < named : array->axes != named)) {
        fail(f, "%s must have the shape (%s), got one of %zu axes", input->name, input->shape, array->axes);
        return;
    }
    if (leads) {
        axis = array->axes - named;
        bind_leading(f, input, array, axis);
    }
    for (; *letters; letters++)
        if (*letters != ' ')
            bind_axis(f, input, *letters, array->shape[axis++]);
}

/* Whether the value is in an interval such as "[0, inf)"; NaN is in none (CV-28). */
static bool in_range(const char *range, double value)
{
    char *end;
    double low = strtod(range + 1, &end);
    double high = strtod(end + 1, &end);
    return (range[0] == '[' ? value >= low : value > low) && (*end == ']' ? value <= high : value < high);
}

static int64_t whole(double value)
{
    return value < 9223372036854775808.0 ? (int64_t)value : LP_NO_BOUND;
}

static const void *option_of(const frame *f, const lp_option *option)
{
    return (const char *)f->call + option->offset;
}

static double real_of(const frame *f, const lp_option *option)
{
    const void *place = option_of(f, option);
    switch (option->kind) {
    case LP_KIND_REAL: return *(const double *)place;
    case LP_KIND_INTEGER: return *(const int64_t *)place == LP_NO_BOUND ? INFINITY : (double)*(const int64_t *)place;
    case LP_KIND_FLAG: return *(const bool *)place;
    default: return *(const int *)place;
    }
}

static const lp_option *find_option(const lp_signature *signature, const char *name)
{
    for (size_t i = 0; i < signature->option_count; i++)
        if (strcmp(signature->options[i].name, name) == 0)
            return &signature->options[i];
    return NULL;
}

static void check_choice(frame *f, const lp_option *option) /* CV-27 */
{
    int chosen = *(const int *)option_of(f, option), count = 0;
    while (option->words[count])
        count++;
    if (chosen < 0 || chosen >= count || !*option->words[chosen])
        fail(f, "%s must be one of the words of the page, got number %d", option->name, chosen);
}

static void check_option(frame *f, const lp_option *option)
{
    double value = real_of(f, option);
    bool unset = option->kind == LP_KIND_INTEGER && isinf(value) && isinf(option->fallback);
    if (option->kind == LP_KIND_CHOICE)
        check_choice(f, option);
    else if (option->range && !unset && !in_range(option->range, value))
        fail(f, "%s must be in %s, got %g", option->name, option->range, value);
    const lp_option *distance = find_option(f->signature, "distance");
    if (option->p_norm_only && real_of(f, distance) != LP_P_NORM && value != option->fallback) /* DI-21 */
        fail(f, "%s must be left out unless distance is p_norm, got %g", option->name, value);
    const lp_option *soft = find_option(f->signature, "soft_margin");
    if (soft && real_of(f, soft) != 0.0 && strcmp(option->name, "margin") == 0 && value != option->fallback)
        fail(f, "margin must be left out with soft_margin, got %g", value); /* TM-11, BH-4, SH-12 */
}

/* What the options of a page forbid together. */
static void check_options_together(frame *f)
{
    const lp_option *eps_at = find_option(f->signature, "eps_at");
    if (eps_at && real_of(f, eps_at) != LP_AT_DIFFERENCE && isinf(real_of(f, find_option(f->signature, "p"))) &&
        real_of(f, find_option(f->signature, "eps")) > 0.0) /* DI-20 */
        fail(f, "eps must be 0 with p = inf and eps_at = root or floor, got %g",
             real_of(f, find_option(f->signature, "eps")));
    const lp_option *floor = find_option(f->signature, "floor"), *distance = find_option(f->signature, "distance");
    if (floor && distance && real_of(f, distance) == LP_COSINE && real_of(f, floor) != 0.0) /* PW-3 */
        fail(f, "floor must be 0 with distance = cosine, got %g", real_of(f, floor));
    const lp_option *ceiling = find_option(f->signature, "ceiling");
    if (ceiling && !(real_of(f, ceiling) >= real_of(f, floor))) /* CN-10 */
        fail(f, "ceiling must be in [floor, inf] with floor = %g, got %g", real_of(f, floor), real_of(f, ceiling));
    const lp_option *unlabelled = find_option(f->signature, "unlabelled");
    if (unlabelled && below(signed_integer(*(const int64_t *)option_of(f, unlabelled)), length(f, 'C'))) /* OI-11 */
        fail(f, "unlabelled must be outside [0, C) with C = %zu, got %g", length(f, 'C'), real_of(f, unlabelled));
}

static void check_inputs(frame *f)
{
    const lp_signature *s = f->signature;
    const lp_array *rows = NULL;
    for (size_t i = 0; i < s->input_count && !rows; i++)
        if (s->inputs[i].kind == LP_KIND_FLOAT && !(s->inputs[i].flags & LP_WIDER))
            rows = input_of(f, &s->inputs[i]);
    for (size_t i = 0; i < s->input_count && f->status == LP_OK; i++) {
        const lp_array *array = input_of(f, &s->inputs[i]);
        if (is_given(array)) {
            check_dtype(f, &s->inputs[i], array, rows ? rows : array);
            if (f->status == LP_OK)
                check_shape(f, &s->inputs[i], array);
        } else if (!(s->inputs[i].flags & LP_OPTIONAL)) { /* CV-38 */
            fail(f, "%s must be given", s->inputs[i].name);
        }
    }
}

static void check_second_set(frame *f) /* PW-13 */
{
    const lp_array *candidates = NULL, *labels = NULL;
    for (size_t i = 0; i < f->signature->input_count; i++) {
        const lp_input *input = &f->signature->inputs[i];
        if (strcmp(input->name, "candidates") == 0)
            candidates = input_of(f, input);
        if (strcmp(input->name, "candidate_labels") == 0)
            labels = input_of(f, input);
        if (candidates && !is_given(candidates) && is_given(input_of(f, input)) && input_of(f, input) != candidates &&
            strncmp(input->name, "candidate_", 10) == 0)
            fail(f, "%s must be left out without candidates", input->name);
    }
    if (candidates && is_given(candidates) && !is_given(labels))
        fail(f, "candidate_labels must be given with candidates");
    if (f->length['M'] == NOT_BOUND)
        f->length['M'] = f->length['B'];
}

/* The lengths of results that options decide: n draws, and the room for the picks of a batch, which is P. */
static void bind_draws(frame *f)
{
    const lp_option *n = find_option(f->signature, "n"), *size = find_option(f->signature, "size");
    f->length['2'] = 2;
    f->length['3'] = 3;
    if (n)
        f->length['n'] = (ptrdiff_t)*(const int64_t *)option_of(f, n);
    if (!size)
        return;
    int64_t asked = *(const int64_t *)option_of(f, size);
    ptrdiff_t rows = f->length['B'];
    f->length['P'] = asked == LP_NO_BOUND ? rows * (rows - (rows > 0)) : (ptrdiff_t)asked;
}

static void describe_return(frame *f, const lp_return *returned, lp_array *result)
{
    const char *shape = returned->shape;
    const lp_option *reduction = find_option(f->signature, "reduction");
    if (reduction && real_of(f, reduction) != LP_NONE)
        shape = "";
    *result = (lp_array){.dtype = returned->dtype == LP_ABSENT ? f->arithmetic : returned->dtype};
    for (size_t i = 0; returned->like && i < f->signature->input_count; i++)
        if (strcmp(returned->like, f->signature->inputs[i].name) == 0)
            result->dtype = input_of(f, &f->signature->inputs[i])->dtype;
    if (strncmp(shape, "...", 3) == 0) {
        for (; result->axes < (size_t)f->length['.']; result->axes++)
            result->shape[result->axes] = f->leading->shape[result->axes];
        return;
    }
    for (; *shape; shape++)
        if (*shape != ' ' && !f->scalar[(unsigned char)*shape])
            result->shape[result->axes++] = length(f, *shape);
}

static void check(frame *f)
{
    const lp_signature *s = f->signature;
    for (size_t i = 0; i < LETTERS; i++)
        f->length[i] = NOT_BOUND;
    f->arithmetic = LP_FLOAT32;
    check_inputs(f);
    if (f->status == LP_OK)
        check_second_set(f);
    for (size_t i = 0; i < s->option_count && f->status == LP_OK; i++)
        check_option(f, &s->options[i]);
    if (f->status == LP_OK)
        check_options_together(f);
    if (f->status == LP_OK)
        bind_draws(f);
    for (size_t i = 0; i < s->return_count && f->status == LP_OK; i++)
        describe_return(f, &s->returns[i], &f->returns[i]);
}

/* ==== A call from its beginning to its end ==== */

void lp_defaults(const lp_signature *signature, void *call)
{
    memset(call, 0, signature->size);
    for (size_t i = 0; i < signature->option_count; i++) {
        const lp_option *option = &signature->options[i];
        void *place = (char *)call + option->offset;
        switch (option->kind) {
        case LP_KIND_REAL: *(double *)place = option->fallback; break;
        case LP_KIND_INTEGER: *(int64_t *)place = whole(option->fallback); break;
        case LP_KIND_FLAG: *(bool *)place = option->fallback != 0.0; break;
        case LP_KIND_CHOICE: *(int *)place = (int)option->fallback;
        }
    }
}

static void release(frame *f)
{
    while (f->memory) {
        block *next = f->memory->next;
        free(f->memory);
        f->memory = next;
    }
}

lp_status lp_describe(const lp_signature *signature, const void *call, lp_array results[LP_RESULTS], lp_error *error)
{
    frame f = {.signature = signature, .call = call, .error = error};
    check(&f);
    if (f.status == LP_OK)
        memcpy(results, f.returns, sizeof f.returns);
    release(&f);
    return f.status;
}

lp_status lp_run(const lp_signature *signature, const void *call, const double *cotangent, void *const *results,
                 lp_error *error)
{
    frame f = {.signature = signature, .call = call, .cotangent = cotangent, .results = results, .error = error};
    check(&f);
    if (f.status == LP_OK)
        signature->compute(&f);
    for (const pending *p = f.gradients; p && f.status == LP_OK; p = p->next)
        store(p->array->dtype, p->array->gradient, p->gradient, lp_count(p->array));
    release(&f);
    return f.status;
}

/* ==== What a loss takes from its call ==== */

static const double *floats(frame *f, const lp_array *array)
{
    size_t count = lp_count(array);
    double *out = doubles(f, count);
    for (size_t i = 0; out && i < count; i++)
        out[i] = float_at(array, i);
    return out;
}

/* Zeros, to which the gradient of an input is added; they are stored when the call has come to its end. */
static double *gradient_of(frame *f, const lp_array *array)
{
    double *gradient = doubles(f, lp_count(array));
    pending *p = allocate(f, 1, sizeof *p);
    if (!gradient || !p)
        return NULL;
    *p = (pending){f->gradients, array, gradient};
    if (array->gradient)
        f->gradients = p;
    return gradient;
}

static const bool *mask_of(frame *f, const lp_array *array, size_t count) /* no mask: everything takes part */
{
    bool *part = allocate(f, count, sizeof *part);
    for (size_t i = 0; part && i < count; i++)
        part[i] = !is_given(array) || ((const unsigned char *)array->data)[i] != 0;
    return part;
}

/* The weights of units or classes; those of units that take no part are not looked at (CV-46, CE-18). */
static const double *weights_of(frame *f, const char *name, const lp_array *array, const bool *part, size_t count)
{
    double *weight = doubles(f, count);
    for (size_t i = 0; weight && i < count; i++) {
        weight[i] = !is_given(array) ? 1.0 : part && !part[i] ? 0.0 : float_at(array, i);
        if (!(weight[i] >= 0.0 && weight[i] < INFINITY))
            fail(f, "%s must be finite and 0 or above, got %g at %zu", name, weight[i], i);
    }
    return weight;
}

static const integer *labels_of(frame *f, const lp_array *array)
{
    size_t count = lp_count(array);
    integer *out = allocate(f, count, sizeof *out);
    for (size_t i = 0; out && i < count; i++)
        out[i] = integer_at(array, i);
    return out;
}

/* The class of each row that takes part (CV-33), 0 for another. */
static const size_t *classes_of(frame *f, const lp_array *array, const bool *part, size_t classes)
{
    size_t count = lp_count(array);
    size_t *out = sizes(f, count);
    for (size_t i = 0; out && part && i < count; i++) {
        integer label = integer_at(array, i);
        if (part[i] && !below(label, classes))
            fail(f, "labels must be in [0, %zu), got %s at %zu", classes, in_digits(label).text, i);
        else if (part[i])
            out[i] = (size_t)label.bits;
    }
    return out;
}

static bool holds_nan(const double *row, size_t width)
{
    for (size_t k = 0; k < width; k++)
        if (isnan(row[k]))
            return true;
    return false;
}

/* ==== Terms and reductions ==== */

typedef struct {
    size_t size;
    bool *part;      /* the unit takes part */
    double *weight;  /* CV-39 */
    double *term;
    double *count;   /* how often `mean` counts the unit */
    double *nonzero; /* how often `mean_nonzero` counts it */
    double *slope;   /* of the value with respect to the term; 0 where nothing is to be sent */
} terms;

static terms new_terms(frame *f, size_t size)
{
    return (terms){size, allocate(f, size, sizeof(bool)), doubles(f, size), doubles(f, size),
                   doubles(f, size), doubles(f, size), doubles(f, size)};
}

/* A unit that takes part with one term. A term that is NaN counts as positive (CV-10). */
static void set_term(terms *t, size_t i, double weight, double term, bool surely_positive)
{
    t->part[i] = true;
    t->weight[i] = weight;
    t->term[i] = term;
    t->count[i] = 1.0;
    t->nonzero[i] = surely_positive || !(term <= 0.0);
}

static bool counts(const terms *t, size_t i)
{
    return t->part[i] && t->weight[i] != 0.0; /* CV-7, CV-41 */
}

/* Each slope is the cotangent's share of its term. A term that is NaN sends nothing (CV-11). */
static void set_slopes(terms *t, const double *cotangent, bool scalar, double factor)
{
    for (size_t i = 0; i < t->size; i++) {
        double above = !cotangent ? 1.0 : cotangent[scalar ? 0 : i];
        t->slope[i] = counts(t, i) && !isnan(t->term[i]) ? above * factor * t->weight[i] : 0.0;
    }
}

static double reduce(terms *t, lp_reduction reduction, const double *cotangent)
{
    double total = 0.0, denominator = 0.0;
    for (size_t i = 0; i < t->size; i++) {
        if (!counts(t, i))
            continue;
        total += t->weight[i] * t->term[i]; /* CV-2, CV-39 */
        denominator += t->weight[i] * (reduction == LP_MEAN_NONZERO ? t->nonzero[i] : t->count[i]); /* CV-40 */
    }
    if (reduction == LP_SUM)
        denominator = 1.0;
    bool nothing = denominator == 0.0; /* CV-5, CV-6, CV-43, CE-14 */
    set_slopes(t, cotangent, true, nothing ? 0.0 : 1.0 / denominator);
    if (nothing)
        return isnan(total) ? total : 0.0;
    return total / denominator; /* CV-3, CV-4 */
}

/* Reduce the terms and store the value. */
static void finish(frame *f, terms *t, lp_reduction reduction)
{
    if (reduction != LP_NONE) {
        double value = reduce(t, reduction, f->cotangent);
        store(f->arithmetic, f->results[0], &value, 1);
        return;
    }
    set_slopes(t, f->cotangent, false, 1.0);
    for (size_t i = 0; i < t->size; i++) /* CV-1 */
        t->term[i] = counts(t, i) ? t->weight[i] * t->term[i] : 0.0;
    store(f->arithmetic, f->results[0], t->term, t->size);
}

/* max(0, x), and NaN for NaN (CV-10). */
static double hinge(double x)
{
    return x <= 0.0 ? 0.0 : x;
}

static double softplus(double x) /* ln(1 + e^x), which does not overflow */
{
    return (x > 0.0 ? x : 0.0) + (isnan(x) ? x : log1p(exp(-fabs(x))));
}

static double sigmoid(double x)
{
    double small = exp(-fabs(x));
    return (x >= 0.0 ? 1.0 : small) / (1.0 + small);
}

/* The term of a triplet whose distances differ by z, and its derivative with respect to z. */
static double triplet_term(double margin, bool soft, double z)
{
    return soft ? softplus(z) : hinge(margin + z);
}

static double triplet_slope(double margin, bool soft, double z) /* CV-13 */
{
    return soft ? sigmoid(z) : margin + z > 0.0;
}

/* ==== Distances of two rows ==== */

typedef struct {
    lp_distance kind;
    double p, eps;
    lp_eps_at eps_at;
    double floor; /* PW-3 */
} metric;

static double cut_off(double value) /* at the largest number, so that no infinity meets another (CV-19) */
{
    return value > DBL_MAX ? DBL_MAX : value < -DBL_MAX ? -DBL_MAX : value;
}

static double difference(double x, double y, double shift) /* the rows' difference comes first */
{
    return cut_off((x - y) + shift);
}

static double power(double base, double p)
{
    return p == 1.0 ? base : p == 2.0 ? base * base : pow(base, p);
}

static double root(double value, double p)
{
    return p == 1.0 ? value : p == 2.0 ? sqrt(value) : pow(value, 1.0 / p);
}

/* The power of two that is not above a positive number, and 1 for 0: to divide by it is exact. */
static double unit_below(double value)
{
    int exponent;
    if (!(value > 0.0) || isinf(value))
        return 1.0;
    frexp(value, &exponent);
    return ldexp(1.0, exponent - 1);
}

/* DI-1 to DI-6. The powers are summed in a unit, so that no scale of the rows overflows (DI-19). `flat` says where the
 * distance has gradient 0 by DI-15 or DI-17. */
static double p_norm(const metric *m, size_t width, const double *x, const double *y, bool *flat)
{
    double shift = m->eps_at == LP_AT_DIFFERENCE ? m->eps : 0.0; /* DI-4 */
    double extra = m->eps_at == LP_AT_DIFFERENCE || isinf(m->p) ? 0.0 : root(m->eps, m->p);
    double largest = 0.0, sum = 0.0;
    bool nan = false;
    for (size_t k = 0; k < width; k++) {
        double t = fabs(difference(x[k], y[k], shift));
        nan = nan || isnan(t);
        largest = t > largest ? t : largest;
    }
    *flat = largest == 0.0 && (extra == 0.0 || m->eps_at == LP_AT_FLOOR);
    if (nan || isinf(m->p)) /* DI-3 */
        return nan ? NAN : largest;
    double greatest = extra > largest ? extra : largest;
    double unit = m->p > 2.0 && greatest > 0.0 ? greatest : unit_below(greatest);
    for (size_t k = 0; k < width; k++)
        sum += power(fabs(difference(x[k], y[k], shift)) / unit, m->p);
    bool exact = m->p == 1.0 || m->p == 2.0; /* eps in the unit's power, without its root */
    double addend = exact ? m->eps / unit / (m->p == 2.0 ? unit : 1.0) : power(extra / unit, m->p);
    if (m->eps_at == LP_AT_ROOT) { /* DI-5 */
        sum += addend;
    } else if (m->eps_at == LP_AT_FLOOR && sum <= addend) { /* DI-6, DI-17 */
        sum = addend;
        *flat = true;
    }
    return cut_off(unit * root(sum, m->p));
}

static double squared_distance(size_t width, const double *x, const double *y) /* DI-7 */
{
    double sum = 0.0;
    for (size_t k = 0; k < width; k++) {
        double t = difference(x[k], y[k], 0.0);
        sum += t * t;
    }
    return cut_off(sum);
}

/* The norm of a row in two factors, whose product may be too large a number; `length` is 0 for a zero row. */
typedef struct {
    double unit, length;
} extent;

static extent norm(size_t width, const double *x)
{
    double largest = 0.0, sum = 0.0;
    for (size_t k = 0; k < width; k++)
        largest = fabs(x[k]) > largest ? fabs(x[k]) : largest;
    double unit = unit_below(largest);
    for (size_t k = 0; k < width; k++)
        sum += (x[k] / unit) * (x[k] / unit);
    return (extent){unit, sqrt(sum)};
}

static double over(double value, extent size)
{
    return value / size.unit / size.length;
}

/* The cosine of two rows; 0 with a zero row (DI-10), NaN where one holds NaN. */
static double cosine(size_t width, const double *x, const double *y, extent *norm_x, extent *norm_y)
{
    double sum = 0.0;
    *norm_x = norm(width, x);
    *norm_y = norm(width, y);
    if (isnan(norm_x->length) || isnan(norm_y->length))
        return NAN;
    if (norm_x->length == 0.0 || norm_y->length == 0.0)
        return 0.0;
    for (size_t k = 0; k < width; k++)
        sum += (x[k] / norm_x->unit) * (y[k] / norm_y->unit);
    return sum / norm_x->length / norm_y->length;
}

static double measure(const metric *m, size_t width, const double *x, const double *y, bool *flat)
{
    double d;
    extent norm_x, norm_y;
    const metric euclidean = {.kind = LP_EUCLIDEAN, .p = 2.0};
    *flat = false;
    switch (m->kind) {
    case LP_P_NORM: return p_norm(m, width, x, y, flat);
    case LP_COSINE: return 1.0 - cosine(width, x, y, &norm_x, &norm_y); /* DI-8 */
    default: break;
    }
    d = squared_distance(width, x, y);
    *flat = m->floor > 0.0 && d <= m->floor; /* PW-3, PW-4 */
    if (*flat)
        return m->kind == LP_EUCLIDEAN ? sqrt(m->floor) : m->floor;
    return m->kind == LP_EUCLIDEAN ? p_norm(&euclidean, width, x, y, flat) : d; /* DI-9 */
}

static double distance(const metric *m, size_t width, const double *x, const double *y)
{
    bool flat;
    return measure(m, width, x, y, &flat);
}

/* Add slope times the gradient of cos(x, y) with respect to x (DI-13). */
static void add_cosine_side(size_t width, const double *x, const double *y, double similarity, extent norm_x,
                            extent norm_y, double slope, double *gx)
{
    for (size_t k = 0; k < width; k++)
        gx[k] += cut_off(over(slope * (over(y[k], norm_y) - similarity * over(x[k], norm_x)), norm_x));
}

/* Add slope times the gradient of cos(x, y) to both rows; a pair with a zero row has none (DI-18). */
static void add_cosine_gradient(size_t width, const double *x, const double *y, double slope, double *gx, double *gy)
{
    extent norm_x, norm_y;
    double similarity = cosine(width, x, y, &norm_x, &norm_y);
    if (isnan(similarity) || norm_x.length == 0.0 || norm_y.length == 0.0)
        return;
    add_cosine_side(width, x, y, similarity, norm_x, norm_y, slope, gx);
    add_cosine_side(width, y, x, similarity, norm_y, norm_x, slope, gy);
}

/* DI-11: the derivative of a p-norm with respect to one difference t. */
static double p_norm_derivative(double p, double t, double d)
{
    double sign = (t > 0.0) - (t < 0.0); /* DI-14 */
    return p == 1.0 ? sign : p == 2.0 ? t / d : sign * pow(fabs(t) / d, p - 1.0);
}

static void add_p_norm_gradient(const metric *m, size_t width, const double *x, const double *y, double d, double slope,
                                double *gx, double *gy)
{
    double shift = m->kind == LP_P_NORM && m->eps_at == LP_AT_DIFFERENCE ? m->eps : 0.0;
    double p = m->kind == LP_P_NORM ? m->p : 2.0;
    for (size_t k = 0; k < width; k++) {
        double t = difference(x[k], y[k], shift);
        if (isinf(p) && fabs(t) != d)
            continue;
        double g = slope * p_norm_derivative(isinf(p) ? 1.0 : p, t, d);
        gx[k] += g;
        gy[k] -= g;
        if (isinf(p)) /* DI-16: the lowest of the coordinates that tie */
            return;
    }
}

/* Add slope times the gradient of d(x, y) to the gradients of both rows. */
static void add_gradient(const metric *m, size_t width, const double *x, const double *y, double slope, double *gx,
                         double *gy)
{
    bool flat;
    double d = measure(m, width, x, y, &flat);
    slope = cut_off(slope);
    if (flat || slope == 0.0)
        return;
    if (m->kind == LP_COSINE) {
        add_cosine_gradient(width, x, y, -slope, gx, gy);
    } else if (m->kind == LP_SQUARED_EUCLIDEAN) { /* DI-12 */
        for (size_t k = 0; k < width; k++) {
            double g = cut_off(2.0 * slope * difference(x[k], y[k], 0.0));
            gx[k] += g;
            gy[k] -= g;
        }
    } else {
        add_p_norm_gradient(m, width, x, y, d, slope, gx, gy);
    }
}

/* ==== The pairs of a batch ==== */

typedef struct {
    size_t anchors, others, width; /* B, M and D */
    const double *x, *y;           /* the anchors, and the rows that they are compared with */
    double *gx, *gy;
    const integer *label, *other_label;
    const bool *part, *other_part;
    const double *weight;
    ptrdiff_t *self; /* the other row that is the anchor itself, or -1 */
    metric metric;
    bool ready; /* the memory was there, and the values were legal */
} pairs;

typedef enum { SELF, NO_PART, POSITIVE, NEGATIVE } relation;

static void set_self(frame *f, pairs *p, const lp_array *index, bool second)
{
    for (size_t a = 0; a < p->anchors; a++) {
        p->self[a] = second ? -1 : (ptrdiff_t)a;
        if (!is_given(index) || !p->part[a]) /* PW-10, PW-14 */
            continue;
        integer named = integer_at(index, a);
        if (below(named, p->others))
            p->self[a] = (ptrdiff_t)named.bits;
        else if (!equal(named, signed_integer(-1)))
            fail(f, "candidate_index must be in [-1, %zu), got %s at %zu", p->others, in_digits(named).text, a);
    }
}

static pairs new_pairs(frame *f, const lp_batch *batch, metric metric)
{
    bool second = is_given(&batch->candidates); /* PW-9 */
    const lp_array *others = second ? &batch->candidates : &batch->embeddings;
    pairs p = {.anchors = batch->embeddings.shape[0], .others = others->shape[0], .width = others->shape[1]};
    p.metric = metric;
    p.x = floats(f, &batch->embeddings);
    p.gx = gradient_of(f, &batch->embeddings);
    p.label = labels_of(f, &batch->labels);
    p.part = mask_of(f, &batch->mask, p.anchors);
    p.weight = weights_of(f, "weights", &batch->weights, p.part, p.anchors);
    p.y = second ? floats(f, &batch->candidates) : p.x;
    p.gy = second ? gradient_of(f, &batch->candidates) : p.gx; /* PW-11 */
    p.other_label = second ? labels_of(f, &batch->candidate_labels) : p.label;
    p.other_part = second ? mask_of(f, &batch->candidate_mask, p.others) : p.part;
    p.self = allocate(f, p.anchors, sizeof *p.self);
    if (f->status == LP_OK)
        set_self(f, &p, &batch->candidate_index, second);
    p.ready = f->status == LP_OK;
    return p;
}

static relation relate(const pairs *p, size_t a, size_t j) /* PW-2, PW-9 */
{
    if (p->self[a] == (ptrdiff_t)j)
        return SELF;
    if (!p->other_part[j])
        return NO_PART;
    return equal(p->label[a], p->other_label[j]) ? POSITIVE : NEGATIVE;
}

static const double *anchor_row(const pairs *p, size_t a)
{
    return p->x + a * p->width;
}

static const double *other_row(const pairs *p, size_t j)
{
    return p->y + j * p->width;
}

static double pair_distance(const pairs *p, size_t a, size_t j)
{
    return distance(&p->metric, p->width, anchor_row(p, a), other_row(p, j));
}

static void add_pair_gradient(const pairs *p, size_t a, size_t j, double slope)
{
    add_gradient(&p->metric, p->width, anchor_row(p, a), other_row(p, j), slope, p->gx + a * p->width,
                 p->gy + j * p->width);
}

static size_t count_related(const pairs *p, size_t a, relation wanted)
{
    size_t count = 0;
    for (size_t j = 0; j < p->others; j++)
        count += relate(p, a, j) == wanted;
    return count;
}

static void check_positives(frame *f, const pairs *p, int64_t most) /* PW-8 */
{
    for (size_t a = 0; a < p->anchors && most != LP_NO_BOUND; a++) {
        size_t count = p->part[a] ? count_related(p, a, POSITIVE) : 0;
        if (count > (uint64_t)most)
            fail(f, "max_positives must be the positives of an anchor or more, got %lld where anchor %zu has %zu",
                 (long long)most, a, count);
    }
}

/* ==== Triplet margin loss (spec/triplet_margin.md) ==== */

/* The distances of a triplet; `swapped` where d(p, n) is the one that was taken (TM-5, TM-6). */
static double triplet_difference(const lp_triplet_margin *c, const metric *m, size_t width, const double *a,
                                 const double *p, const double *n, bool *swapped)
{
    double near = distance(m, width, a, p), far = distance(m, width, a, n); /* TM-4 */
    double other = c->swap ? distance(m, width, p, n) : far;
    *swapped = other < far;
    return near - (isnan(other) || *swapped ? other : far);
}

static void add_triplet_gradient(const metric *m, size_t width, const double *const row[3], double *const gradient[3],
                                 bool swapped, double slope) /* TM-7 */
{
    size_t near = swapped ? 1 : 0;
    add_gradient(m, width, row[0], row[1], slope, gradient[0], gradient[1]);
    add_gradient(m, width, row[near], row[2], -slope, gradient[near], gradient[2]);
}

static void compute_triplet_margin(frame *f)
{
    const lp_triplet_margin *c = f->call;
    const metric m = {c->distance, c->p, c->eps, c->eps_at, 0.0};
    size_t width = length(f, 'D'), units = lp_count(&c->anchor) / width;
    const double *x[3] = {floats(f, &c->anchor), floats(f, &c->positive), floats(f, &c->negative)};
    double *g[3] = {gradient_of(f, &c->anchor), gradient_of(f, &c->positive), gradient_of(f, &c->negative)};
    const bool *part = mask_of(f, &c->mask, units);
    const double *weight = weights_of(f, "weights", &c->weights, part, units);
    terms t = new_terms(f, units);
    bool swapped;
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < units; i++) {
        size_t k = i * width;
        if (part[i] && weight[i] != 0.0) /* CV-8 */
            set_term(&t, i, weight[i], triplet_term(c->margin, c->soft_margin,
                     triplet_difference(c, &m, width, x[0] + k, x[1] + k, x[2] + k, &swapped)), c->soft_margin);
    }
    finish(f, &t, c->reduction);
    for (size_t i = 0; i < units; i++) {
        size_t k = i * width;
        if (t.slope[i] == 0.0)
            continue;
        double z = triplet_difference(c, &m, width, x[0] + k, x[1] + k, x[2] + k, &swapped);
        add_triplet_gradient(&m, width, (const double *const[]){x[0] + k, x[1] + k, x[2] + k},
                             (double *const[]){g[0] + k, g[1] + k, g[2] + k}, swapped,
                             t.slope[i] * triplet_slope(c->margin, c->soft_margin, z));
    }
}

/* ==== Contrastive loss (spec/contrastive.md) ==== */

static void compute_contrastive(frame *f)
{
    const lp_contrastive *c = f->call;
    const metric m = {c->distance, c->p, c->eps, c->eps_at, 0.0};
    size_t width = length(f, 'D'), units = lp_count(&c->x1) / width;
    const double *x = floats(f, &c->x1), *y = floats(f, &c->x2);
    double *gx = gradient_of(f, &c->x1), *gy = gradient_of(f, &c->x2);
    const bool *dissimilar = mask_of(f, &c->dissimilar, units), *part = mask_of(f, &c->mask, units);
    const double *weight = weights_of(f, "weights", &c->weights, part, units);
    terms t = new_terms(f, units);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < units; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        double d = distance(&m, width, x + i * width, y + i * width);
        double base = dissimilar[i] ? hinge(c->margin - d) : d;           /* CO-1, CO-2 */
        set_term(&t, i, weight[i], c->factor * cut_off(base * base), false); /* CO-3 */
    }
    finish(f, &t, c->reduction);
    for (size_t i = 0; i < units; i++) {
        if (t.slope[i] == 0.0)
            continue;
        double d = distance(&m, width, x + i * width, y + i * width);
        double base = dissimilar[i] ? -hinge(c->margin - d) : d; /* CO-7 */
        add_gradient(&m, width, x + i * width, y + i * width, t.slope[i] * 2.0 * c->factor * base, gx + i * width,
                     gy + i * width);
    }
}

/* ==== Batch-hard triplet loss (spec/batch_hard.md) ==== */

static const ptrdiff_t NOBODY = -1, ITSELF = -2;

typedef struct {
    ptrdiff_t *positive, *negative; /* the chosen rows of each anchor; NOBODY, or ITSELF (BH-3) */
    double *difference;             /* d(a, p) - d(a, n) */
} hardest;

/* The distance of an anchor from itself (BH-3, DI-10). */
static double own_distance(const pairs *p, size_t a)
{
    const double *row = anchor_row(p, a);
    if (holds_nan(row, p->width))
        return NAN;
    if (p->metric.kind == LP_COSINE)
        return norm(p->width, row).length == 0.0;
    return p->metric.kind == LP_EUCLIDEAN ? sqrt(p->metric.floor) : p->metric.floor;
}

/* Choose the farthest positive and the nearest negative, the lowest index of those that tie (BH-1, BH-8). */
static void choose_hardest(const pairs *p, size_t a, bool include_self, hardest *h)
{
    double far = 0.0, near = 0.0;
    bool nan = false; /* in any row that is compared (PW-5) */
    h->positive[a] = h->negative[a] = NOBODY;
    for (size_t j = 0; j < p->others; j++) {
        relation r = relate(p, a, j);
        bool own = r == SELF && include_self && p->other_part[j]; /* BH-12 */
        if (r == NO_PART || (r == SELF && !own))
            continue;
        double d = own ? own_distance(p, a) : pair_distance(p, a, j);
        ptrdiff_t *chosen = r == NEGATIVE ? &h->negative[a] : &h->positive[a];
        double *best = r == NEGATIVE ? &near : &far;
        nan = nan || isnan(d);
        if (*chosen == NOBODY || (r == NEGATIVE ? d < *best : d > *best)) {
            *chosen = own ? ITSELF : (ptrdiff_t)j;
            *best = d;
        }
    }
    h->difference[a] = nan ? NAN : far - near;
}

static hardest hardest_terms(frame *f, const pairs *p, double margin, bool soft, bool include_self, terms *t)
{
    hardest h = {allocate(f, p->anchors, sizeof(ptrdiff_t)), allocate(f, p->anchors, sizeof(ptrdiff_t)),
                 doubles(f, p->anchors)};
    for (size_t a = 0; f->status == LP_OK && a < p->anchors; a++) {
        if (!p->part[a])
            continue;
        choose_hardest(p, a, include_self, &h);
        if (h.positive[a] != NOBODY && h.negative[a] != NOBODY) /* BH-2 */
            set_term(t, a, p->weight[a], triplet_term(margin, soft, h.difference[a]), soft); /* BH-4 */
    }
    return h;
}

static void send_hardest(const pairs *p, const hardest *h, double margin, bool soft, const terms *t) /* BH-7 */
{
    for (size_t a = 0; a < p->anchors; a++) {
        double slope = t->slope[a] == 0.0 ? 0.0 : t->slope[a] * triplet_slope(margin, soft, h->difference[a]);
        if (slope == 0.0)
            continue;
        if (h->positive[a] != ITSELF) /* BH-10 */
            add_pair_gradient(p, a, (size_t)h->positive[a], slope);
        add_pair_gradient(p, a, (size_t)h->negative[a], -slope);
    }
}

static void compute_batch_hard(frame *f)
{
    const lp_batch_hard *c = f->call;
    pairs p = new_pairs(f, &c->batch, (metric){.kind = c->distance, .floor = c->floor});
    terms t = new_terms(f, p.anchors);
    if (f->status != LP_OK)
        return;
    hardest h = hardest_terms(f, &p, c->margin, c->soft_margin, c->include_self, &t);
    if (f->status != LP_OK)
        return;
    finish(f, &t, c->reduction);
    send_hardest(&p, &h, c->margin, c->soft_margin, &t);
}

/* ==== Batch-all triplet loss (spec/batch_all.md) ==== */

typedef struct {
    double sum;
    size_t triplets, active;
    bool nan;
} anchor_sum;

/* Fill in the distances of an anchor from all rows that it is compared with; whether one of them is NaN (BA-7). */
static bool fill_distances(const pairs *p, size_t a, double *d)
{
    bool nan = false;
    for (size_t j = 0; j < p->others; j++) {
        relation r = relate(p, a, j);
        if (r == POSITIVE || r == NEGATIVE) {
            d[j] = pair_distance(p, a, j);
            nan = nan || isnan(d[j]);
        }
    }
    return nan;
}

/* The sum over the triplets of an anchor (BA-1, BA-2). `active`, where it is not NULL, counts for each row the active
 * triplets that it is in, with the sign of its distance (BA-5). */
static anchor_sum sum_triplets(const pairs *p, size_t a, double margin, double *d, double *active)
{
    anchor_sum sum = {.nan = fill_distances(p, a, d)};
    for (size_t j = 0; j < p->others; j++) {
        if (relate(p, a, j) != POSITIVE)
            continue;
        for (size_t n = 0; n < p->others; n++) {
            if (relate(p, a, n) != NEGATIVE)
                continue;
            double term = hinge(margin + d[j] - d[n]);
            bool is_active = term > 0.0; /* BA-6 */
            sum.sum += term;
            sum.triplets++;
            sum.active += is_active;
            if (active && is_active) {
                active[j] += 1.0;
                active[n] -= 1.0;
            }
        }
    }
    if (sum.nan && sum.triplets)
        sum.sum = NAN;
    return sum;
}

static void compute_batch_all(frame *f)
{
    const lp_batch_all *c = f->call;
    pairs p = new_pairs(f, &c->batch, (metric){.kind = c->distance});
    terms t = new_terms(f, p.anchors);
    double *d = doubles(f, p.others), *active = doubles(f, p.others);
    if (f->status != LP_OK)
        return;
    check_positives(f, &p, c->max_positives);
    for (size_t a = 0; f->status == LP_OK && a < p.anchors; a++) {
        if (!p.part[a])
            continue;
        anchor_sum sum = sum_triplets(&p, a, c->margin, d, NULL);
        set_term(&t, a, p.weight[a], sum.sum, false);
        t.count[a] = (double)sum.triplets; /* BA-3, BA-9 */
        t.nonzero[a] = (double)(isnan(sum.sum) ? sum.triplets : sum.active); /* BA-4 */
    }
    if (f->status != LP_OK)
        return;
    finish(f, &t, c->reduction);
    for (size_t a = 0; a < p.anchors; a++) {
        if (t.slope[a] == 0.0)
            continue;
        memset(active, 0, p.others * sizeof *active);
        sum_triplets(&p, a, c->margin, d, active);
        for (size_t j = 0; j < p.others; j++)
            if (active[j] != 0.0)
                add_pair_gradient(&p, a, j, t.slope[a] * active[j]);
    }
}

static void compute_active_fraction(frame *f) /* BA-10 */
{
    const lp_batch_all *c = f->call;
    pairs p = new_pairs(f, &c->batch, (metric){.kind = c->distance});
    double *d = doubles(f, p.others);
    uint64_t triplets = 0, active = 0; /* BA-15 */
    bool nan = false;
    if (f->status != LP_OK)
        return;
    check_positives(f, &p, c->max_positives);
    for (size_t a = 0; f->status == LP_OK && a < p.anchors; a++) {
        if (!p.part[a]) /* BA-11 */
            continue;
        anchor_sum sum = sum_triplets(&p, a, c->margin, d, NULL);
        triplets += sum.triplets;
        active += sum.active;
        nan = nan || isnan(sum.sum); /* BA-13 */
    }
    if (f->status != LP_OK)
        return;
    double fraction = nan ? NAN : triplets ? (double)active / (double)triplets : 0.0; /* BA-12 */
    store(f->arithmetic, f->results[0], &fraction, 1);
}

/* ==== Semi-hard triplet loss (spec/semi_hard.md) ==== */

/* The nearest negative that is farther than the positive, or the farthest of all; the lowest index of those that tie
 * (SH-1, SH-2, SH-3, SH-8). */
static size_t choose_negative(const pairs *p, size_t a, const double *d, double positive)
{
    ptrdiff_t nearest = NOBODY, farthest = NOBODY;
    for (size_t n = 0; n < p->others; n++) {
        if (relate(p, a, n) != NEGATIVE)
            continue;
        if (d[n] > positive && (nearest == NOBODY || d[n] < d[nearest]))
            nearest = (ptrdiff_t)n;
        if (farthest == NOBODY || d[n] > d[farthest])
            farthest = (ptrdiff_t)n;
    }
    return (size_t)(nearest != NOBODY ? nearest : farthest);
}

/* The terms of an anchor and the negative of each of its pairs. */
static void set_semi_hard_terms(const lp_semi_hard *c, const pairs *p, size_t a, double *d, size_t *chosen, terms *t)
{
    bool nan = false;
    fill_distances(p, a, d);
    for (size_t n = 0; n < p->others; n++)
        nan = nan || (relate(p, a, n) == NEGATIVE && isnan(d[n]));
    for (size_t j = 0; j < p->others; j++) {
        size_t unit = a * p->others + j;
        if (relate(p, a, j) != POSITIVE)
            continue;
        chosen[unit] = choose_negative(p, a, d, d[j]);
        double z = nan ? NAN : d[j] - d[chosen[unit]]; /* SH-10 */
        set_term(t, unit, p->weight[a], triplet_term(c->margin, c->soft_margin, z), c->soft_margin); /* SH-11, SH-12 */
    }
}

static void compute_semi_hard(frame *f)
{
    const lp_semi_hard *c = f->call;
    pairs p = new_pairs(f, &c->batch, (metric){.kind = c->distance});
    terms t = new_terms(f, p.anchors * p.others); /* SH-13 */
    size_t *chosen = sizes(f, p.anchors * p.others);
    double *d = doubles(f, p.others);
    if (f->status != LP_OK)
        return;
    check_positives(f, &p, c->max_positives);
    for (size_t a = 0; f->status == LP_OK && a < p.anchors; a++)
        if (p.part[a] && count_related(&p, a, NEGATIVE)) /* SH-4 */
            set_semi_hard_terms(c, &p, a, d, chosen, &t);
    if (f->status != LP_OK)
        return;
    finish(f, &t, c->reduction);
    for (size_t unit = 0; unit < t.size; unit++) {
        if (t.slope[unit] == 0.0)
            continue;
        size_t a = unit / p.others, j = unit % p.others;
        double z = pair_distance(&p, a, j) - pair_distance(&p, a, chosen[unit]);
        double slope = t.slope[unit] * triplet_slope(c->margin, c->soft_margin, z); /* SH-7, SH-9 */
        add_pair_gradient(&p, a, j, slope);
        add_pair_gradient(&p, a, chosen[unit], -slope);
    }
}

/* ==== Center loss (spec/center.md) ==== */

typedef struct {
    size_t rows, width;
    const double *x, *centers;
    double *gx, *gc;
    const size_t *class;
    double factor, floor, ceiling;
} center_parts;

static void center_terms(const center_parts *c, const bool *part, const double *weight, terms *t)
{
    for (size_t i = 0; i < c->rows; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        const double *center = c->centers + c->class[i] * c->width; /* CN-3, CN-6 */
        double d = squared_distance(c->width, c->x + i * c->width, center); /* CN-5 */
        d = d < c->floor ? c->floor : d > c->ceiling ? c->ceiling : d; /* CN-2 */
        set_term(t, i, weight[i], c->factor * d, false);
    }
}

static void send_center(const center_parts *c, const terms *t) /* CN-7, CN-8 */
{
    const metric squared = {.kind = LP_SQUARED_EUCLIDEAN};
    for (size_t i = 0; i < c->rows; i++) {
        if (t->slope[i] == 0.0)
            continue;
        const double *x = c->x + i * c->width, *center = c->centers + c->class[i] * c->width;
        double d = squared_distance(c->width, x, center);
        if (d > c->floor && d < c->ceiling) /* CN-9 */
            add_gradient(&squared, c->width, x, center, t->slope[i] * c->factor, c->gx + i * c->width,
                         c->gc + c->class[i] * c->width);
    }
}

static void compute_center(frame *f)
{
    const lp_center *c = f->call;
    const bool *part = mask_of(f, &c->mask, length(f, 'B'));
    const double *weight = weights_of(f, "weights", &c->weights, part, length(f, 'B'));
    center_parts parts = {length(f, 'B'), length(f, 'D'), floats(f, &c->embeddings), floats(f, &c->centers),
                          gradient_of(f, &c->embeddings), gradient_of(f, &c->centers),
                          classes_of(f, &c->labels, part, length(f, 'C')), c->factor, c->floor, c->ceiling};
    terms t = new_terms(f, parts.rows);
    if (f->status != LP_OK)
        return;
    center_terms(&parts, part, weight, &t);
    finish(f, &t, c->reduction);
    send_center(&parts, &t);
}

static void compute_update_centers(frame *f) /* CN-11 */
{
    const lp_center_update *c = f->call;
    size_t rows = length(f, 'B'), width = length(f, 'D'), classes = length(f, 'C');
    const bool *part = mask_of(f, &c->mask, rows);
    const double *x = floats(f, &c->embeddings), *old = floats(f, &c->centers);
    const size_t *class = classes_of(f, &c->labels, part, classes);
    double *moved = doubles(f, classes * width), *count = doubles(f, classes);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < rows; i++) { /* CN-13 */
        if (!part[i])
            continue;
        count[class[i]] += 1.0;
        for (size_t k = 0; k < width; k++)
            moved[class[i] * width + k] += old[class[i] * width + k] - x[i * width + k];
    }
    for (size_t k = 0; k < classes * width; k++) /* CN-12 */
        moved[k] = count[k / width] == 0.0 ? old[k] : old[k] - c->alpha * moved[k] / (1.0 + count[k / width]);
    store(f->returns[0].dtype, f->results[0], moved, classes * width);
}

/* ==== Softmax: what OIM, ArcFace, CosFace and the cross-entropies share ==== */

/* cost[k] = log sum_j e^{z_j} - z_k; the largest logit is subtracted first (CE-3, OI-5). The softmax is e^{-cost}. The
 * cost of a class with the logit -infinity is infinite, and no other is. */
static void softmax_costs(size_t classes, const double *z, double *cost)
{
    double largest = -INFINITY, sum = 0.0;
    for (size_t k = 0; k < classes; k++)
        largest = z[k] > largest ? z[k] : largest;
    for (size_t k = 0; k < classes; k++)
        sum += exp(z[k] - largest);
    for (size_t k = 0; k < classes; k++)
        cost[k] = log(sum) - (isinf(z[k]) ? z[k] - largest : cut_off(z[k] - largest));
}

/* ==== OIM loss (spec/oim.md) ==== */

/* A row takes part if the mask says so and it has an identity (OI-3, OI-4); the others keep no say in `part`. */
static const bool *with_identity(frame *f, const lp_array *labels, const bool *part, int64_t unlabelled)
{
    size_t count = lp_count(labels);
    bool *out = allocate(f, count, sizeof *out);
    for (size_t i = 0; out && part && i < count; i++)
        out[i] = part[i] && !equal(integer_at(labels, i), signed_integer(unlabelled));
    return out;
}

typedef struct {
    size_t width, classes, slots;
    const double *table, *queue;
    double temperature;
} memory_rows;

static const double *memory_row(const memory_rows *m, size_t j)
{
    return j < m->classes ? m->table + j * m->width : m->queue + (j - m->classes) * m->width;
}

static void oim_costs(const memory_rows *m, const double *x, double *z, double *cost) /* OI-1, OI-2 */
{
    for (size_t j = 0; j < m->classes + m->slots; j++) {
        const double *row = memory_row(m, j);
        double inner = 0.0;
        for (size_t k = 0; k < m->width; k++)
            inner = cut_off(inner + cut_off(x[k] * row[k]));
        z[j] = cut_off(inner / m->temperature);
    }
    softmax_costs(m->classes + m->slots, z, cost);
}

static void compute_oim(frame *f)
{
    const lp_oim *c = f->call;
    memory_rows m = {length(f, 'D'), length(f, 'C'), length(f, 'Q'), floats(f, &c->lookup_table), floats(f, &c->queue),
                     c->temperature};
    size_t rows = length(f, 'B'), all = m.classes + m.slots;
    const bool *part = with_identity(f, &c->labels, mask_of(f, &c->mask, rows), c->unlabelled);
    const double *x = floats(f, &c->embeddings);
    const double *weight = weights_of(f, "weights", &c->weights, part, rows); /* OI-24 */
    const size_t *class = classes_of(f, &c->labels, part, m.classes);
    double *g = gradient_of(f, &c->embeddings), *z = doubles(f, all), *cost = doubles(f, all); /* OI-9 */
    terms t = new_terms(f, rows);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < rows; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        oim_costs(&m, x + i * m.width, z, cost);
        set_term(&t, i, weight[i], cost[class[i]], true);
    }
    finish(f, &t, c->reduction);
    for (size_t i = 0; i < rows; i++) {
        if (t.slope[i] == 0.0)
            continue;
        oim_costs(&m, x + i * m.width, z, cost);
        for (size_t j = 0; j < all; j++) { /* OI-8 */
            double share = t.slope[i] * (exp(-cost[j]) - (j == class[i])) / m.temperature;
            for (size_t k = 0; k < m.width; k++)
                g[i * m.width + k] += cut_off(share * memory_row(&m, j)[k]);
        }
    }
}

/* An identity moves to momentum * v + (1 - momentum) * x (OI-13), and to unit length where that is asked (OI-14). */
static void visit(size_t width, double *v, const double *x, double momentum, bool normalise)
{
    for (size_t k = 0; k < width; k++)
        v[k] = momentum * v[k] + (1.0 - momentum) * x[k];
    extent size = norm(width, v);
    for (size_t k = 0; normalise && size.length != 0.0 && k < width; k++) /* OI-16 */
        v[k] = over(v[k], size);
}

static size_t head_of(frame *f, const lp_array *head, size_t slots) /* OI-21 */
{
    integer value = integer_at(head, 0);
    if (!below(value, slots ? slots : 1))
        fail(f, "head must be in [0, Q) with Q = %zu, got %s", slots, in_digits(value).text);
    return (size_t)value.bits;
}

static void compute_update_oim_memory(frame *f)
{
    const lp_oim_update *c = f->call;
    size_t rows = length(f, 'B'), width = length(f, 'D'), classes = length(f, 'C'), slots = length(f, 'Q');
    const bool *part = mask_of(f, &c->mask, rows), *named = with_identity(f, &c->labels, part, c->unlabelled);
    const size_t *class = classes_of(f, &c->labels, named, classes);
    const double *x = floats(f, &c->embeddings);
    double *table = doubles(f, classes * width), *queue = doubles(f, slots * width);
    size_t head = head_of(f, &c->head, slots);
    if (f->status != LP_OK)
        return;
    for (size_t k = 0; k < classes * width; k++)
        table[k] = float_at(&c->lookup_table, k);
    for (size_t k = 0; k < slots * width; k++)
        queue[k] = float_at(&c->queue, k);
    for (size_t i = 0; i < rows; i++) { /* OI-15 */
        if (named[i]) {
            visit(width, table + class[i] * width, x + i * width, c->momentum, c->normalise);
        } else if (part[i] && slots) { /* OI-17, OI-18, OI-19 */
            memcpy(queue + head * width, x + i * width, width * sizeof *queue);
            head = (head + 1) % slots;
        }
    }
    store(f->returns[0].dtype, f->results[0], table, classes * width);
    store(f->returns[1].dtype, f->results[1], queue, slots * width);
    store_integer(f->returns[2].dtype, f->results[2], head);
}

/* ==== Circle loss (spec/circle.md) ==== */

/* The exponent of a pair with the cosine s, and its derivative with respect to s. */
typedef struct {
    double exponent, slope;
} circle_pair;

static circle_pair weigh(const lp_circle *c, double s, relation r)
{
    double sign = r == NEGATIVE ? 1.0 : -1.0;
    double distance_to = r == NEGATIVE ? s - c->margin : s - (1.0 - c->margin);
    double alpha = hinge(r == NEGATIVE ? s + c->margin : 1.0 + c->margin - s); /* CI-4 */
    double change = c->detach_weights || !(alpha > 0.0) ? 0.0 : sign; /* of alpha: CI-10, CI-11 */
    return (circle_pair){sign * c->gamma * alpha * distance_to, sign * c->gamma * (alpha + change * distance_to)};
}

/* The cosines of an anchor, and the logarithms of its two sums (CI-5). */
typedef struct {
    double log_sum[2]; /* of the positives and of the negatives; -infinity for an empty set */
    bool nan;
} circle_sums;

static circle_sums sum_circle(const lp_circle *c, const pairs *p, size_t a, double *s)
{
    circle_sums sums = {.nan = holds_nan(anchor_row(p, a), p->width)}; /* CI-9, CI-17 */
    double largest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0, 0.0};
    extent norm_x, norm_y;
    for (size_t j = 0; j < p->others; j++) {
        relation r = relate(p, a, j);
        if (r != POSITIVE && r != NEGATIVE)
            continue;
        s[j] = cosine(p->width, anchor_row(p, a), other_row(p, j), &norm_x, &norm_y); /* CI-3 */
        sums.nan = sums.nan || isnan(s[j]);
        double exponent = weigh(c, s[j], r).exponent;
        largest[r == NEGATIVE] = exponent > largest[r == NEGATIVE] ? exponent : largest[r == NEGATIVE];
    }
    for (size_t j = 0; j < p->others; j++) { /* CI-7 */
        relation r = relate(p, a, j);
        if (r == POSITIVE || r == NEGATIVE)
            total[r == NEGATIVE] += exp(weigh(c, s[j], r).exponent - largest[r == NEGATIVE]);
    }
    for (size_t side = 0; side < 2; side++)
        sums.log_sum[side] = total[side] > 0.0 ? largest[side] + log(total[side]) : -INFINITY;
    return sums;
}

static void send_circle(const lp_circle *c, const pairs *p, size_t a, double *s, double slope) /* CI-12 */
{
    circle_sums sums = sum_circle(c, p, a, s);
    double sigma = sigmoid(sums.log_sum[0] + sums.log_sum[1]);
    for (size_t j = 0; j < p->others; j++) {
        relation r = relate(p, a, j);
        if (r != POSITIVE && r != NEGATIVE)
            continue;
        circle_pair pair = weigh(c, s[j], r);
        double share = exp(pair.exponent - sums.log_sum[r == NEGATIVE]);
        add_cosine_gradient(p->width, anchor_row(p, a), other_row(p, j), slope * sigma * share * pair.slope,
                            p->gx + a * p->width, p->gy + j * p->width);
    }
}

static void compute_circle(frame *f)
{
    const lp_circle *c = f->call;
    pairs p = new_pairs(f, &c->batch, (metric){.kind = LP_COSINE});
    terms t = new_terms(f, p.anchors);
    double *s = doubles(f, p.others);
    if (f->status != LP_OK)
        return;
    for (size_t a = 0; a < p.anchors; a++) {
        if (!p.part[a])
            continue;
        circle_sums sums = sum_circle(c, &p, a, s);
        bool both = count_related(&p, a, POSITIVE) && count_related(&p, a, NEGATIVE);
        double term = both ? softplus(sums.log_sum[0] + sums.log_sum[1]) : 0.0; /* CI-1, CI-6 */
        set_term(&t, a, p.weight[a], sums.nan ? NAN : term, both); /* CI-8, CI-16 */
    }
    finish(f, &t, c->reduction);
    for (size_t a = 0; a < p.anchors; a++)
        if (t.slope[a] != 0.0 && count_related(&p, a, POSITIVE) && count_related(&p, a, NEGATIVE)) /* CI-13 */
            send_circle(c, &p, a, s, t.slope[a]);
}

/* ==== ArcFace and CosFace (spec/arcface.md, spec/cosface.md) ==== */

/* The rows and the class weights at unit length (AF-2, CF-2); a zero row stays one (AF-9, CF-4). */
typedef struct {
    size_t rows, classes, width;
    double *x, *w;
    extent *norm_x, *norm_w;
    double *gx, *gw;
    double scale;
} angles;

static double *unit_rows(frame *f, const lp_array *array, extent *norms)
{
    size_t width = array->shape[1];
    double *out = doubles(f, lp_count(array));
    for (size_t i = 0; out && norms && i < array->shape[0]; i++) {
        for (size_t k = 0; k < width; k++)
            out[i * width + k] = float_at(array, i * width + k);
        norms[i] = norm(width, out + i * width);
        for (size_t k = 0; norms[i].length != 0.0 && k < width; k++)
            out[i * width + k] = over(out[i * width + k], norms[i]);
    }
    return out;
}

static angles new_angles(frame *f, const lp_array *embeddings, const lp_array *class_weights, double scale)
{
    angles a = {.rows = embeddings->shape[0], .classes = class_weights->shape[0], .width = class_weights->shape[1],
                .scale = scale};
    a.norm_x = allocate(f, a.rows, sizeof *a.norm_x);
    a.norm_w = allocate(f, a.classes, sizeof *a.norm_w);
    a.x = unit_rows(f, embeddings, a.norm_x);
    a.w = unit_rows(f, class_weights, a.norm_w);
    a.gx = gradient_of(f, embeddings);
    a.gw = gradient_of(f, class_weights);
    return a;
}

static double angle_cosine(const angles *a, size_t i, size_t j) /* NaN comes before a zero row (AF-9, AF-19) */
{
    double sum = 0.0;
    for (size_t k = 0; k < a->width; k++)
        sum += a->x[i * a->width + k] * a->w[j * a->width + k];
    return sum;
}

/* The norm of x - similarity * y for two unit rows: the sine of their angle, as accurate near 0 and pi as elsewhere
 * (AF-4). */
static double sine(size_t width, const double *x, const double *y, double similarity)
{
    double sum = 0.0;
    for (size_t k = 0; k < width; k++) {
        double t = x[k] - similarity * y[k];
        sum += t * t;
    }
    return sqrt(sum);
}

static bool has_zero_row(const angles *a, size_t i, size_t j)
{
    return a->norm_x[i].length == 0.0 || a->norm_w[j].length == 0.0;
}

/* What is done to the logit of a label: psi as a function of the cosine and of the sine, and its derivatives. */
typedef struct {
    double psi, by_cosine, by_sine;
} margined;

typedef struct {
    bool angular; /* ArcFace's, or CosFace's */
    double margin;
    lp_beyond_pi beyond_pi;
} label_margin;

static margined with_margin(const label_margin *m, double similarity, double sine_of_angle)
{
    double cos_m = cos(m->margin), sin_m = sin(m->margin);
    if (!m->angular) /* CF-1 */
        return (margined){similarity - m->margin, 1.0, 0.0};
    bool beyond = similarity < -cos_m; /* AF-8 */
    if (beyond && m->beyond_pi == LP_LINEAR) /* AF-6, AF-12 */
        return (margined){similarity - m->margin * sin_m, 1.0, 0.0};
    if (beyond && m->beyond_pi == LP_CONTINUOUS) /* AF-7, AF-12 */
        return (margined){similarity + cos_m - 1.0, 1.0, 0.0};
    return (margined){similarity * cos_m - sine_of_angle * sin_m, cos_m, -sin_m}; /* AF-1, AF-5 */
}

static margined label_logit(const angles *a, const label_margin *m, size_t i, size_t label)
{
    double similarity = angle_cosine(a, i, label);
    const double *x = a->x + i * a->width, *w = a->w + label * a->width;
    return with_margin(m, similarity, has_zero_row(a, i, label) ? 1.0 : sine(a->width, x, w, similarity));
}

static void angle_costs(const angles *a, const label_margin *m, size_t i, size_t label, double *z, double *cost)
{
    for (size_t j = 0; j < a->classes; j++)
        z[j] = a->scale * (j == label ? label_logit(a, m, i, label).psi : angle_cosine(a, i, j));
    softmax_costs(a->classes, z, cost);
}

/* Add slope times the gradient of psi to one of the two unit rows (AF-11, CF-6). With v = y - similarity * x the cosine
 * has the gradient v / norm, and the sine that of -similarity * v / |v|, which is 0 where v is (AF-13). */
static void add_angle_side(size_t width, const double *x, const double *y, extent norm_x, double similarity, margined m,
                           double slope, double *gx)
{
    double size = sine(width, y, x, similarity);
    double along = m.by_cosine - (size > 0.0 ? m.by_sine * similarity / size : 0.0);
    for (size_t k = 0; k < width; k++)
        gx[k] += cut_off(over(slope * along * (y[k] - similarity * x[k]), norm_x));
}

static void add_angle_gradient(const angles *a, size_t i, size_t j, margined m, double slope)
{
    if (slope == 0.0 || has_zero_row(a, i, j)) /* AF-14, CF-8 */
        return;
    double similarity = angle_cosine(a, i, j);
    const double *x = a->x + i * a->width, *w = a->w + j * a->width;
    add_angle_side(a->width, x, w, a->norm_x[i], similarity, m, slope, a->gx + i * a->width);
    add_angle_side(a->width, w, x, a->norm_w[j], similarity, m, slope, a->gw + j * a->width);
}

static const margined NO_MARGIN = {0.0, 1.0, 0.0};

static void send_angles(const angles *a, const label_margin *m, size_t i, size_t label, double *z, double *cost,
                        double slope)
{
    angle_costs(a, m, i, label, z, cost);
    for (size_t j = 0; j < a->classes; j++) {
        double share = slope * a->scale * (exp(-cost[j]) - (j == label)); /* CE-4 */
        add_angle_gradient(a, i, j, j == label ? label_logit(a, m, i, label) : NO_MARGIN, share);
    }
}

static void compute_margin_softmax(frame *f, angles a, const label_margin *m, const lp_array *labels,
                                   const lp_array *mask, const lp_array *weights, lp_reduction reduction)
{
    const bool *part = mask_of(f, mask, a.rows);
    const double *weight = weights_of(f, "weights", weights, part, a.rows);
    const size_t *class = classes_of(f, labels, part, a.classes);
    double *z = doubles(f, a.classes), *cost = doubles(f, a.classes);
    terms t = new_terms(f, a.rows);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < a.rows; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        angle_costs(&a, m, i, class[i], z, cost);
        set_term(&t, i, weight[i], cost[class[i]], true);
    }
    finish(f, &t, reduction);
    for (size_t i = 0; i < a.rows; i++)
        if (t.slope[i] != 0.0)
            send_angles(&a, m, i, class[i], z, cost, t.slope[i]);
}

static void compute_arcface(frame *f)
{
    const lp_arcface *c = f->call;
    const label_margin margin = {true, c->margin, c->beyond_pi};
    compute_margin_softmax(f, new_angles(f, &c->embeddings, &c->class_weights, c->scale), &margin, &c->labels, &c->mask,
                           &c->weights, c->reduction);
}

static void compute_arcface_logits(frame *f) /* AF-18 */
{
    const lp_arcface_rows *c = f->call;
    angles a = new_angles(f, &c->embeddings, &c->class_weights, c->scale);
    double *z = doubles(f, a.rows * a.classes);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < a.rows; i++) {
        for (size_t j = 0; j < a.classes; j++) {
            z[i * a.classes + j] = a.scale * angle_cosine(&a, i, j); /* AF-19 */
            if (!isnan(z[i * a.classes + j]))
                add_angle_gradient(&a, i, j, NO_MARGIN, a.scale); /* AF-20 */
        }
    }
    store(f->returns[0].dtype, f->results[0], z, a.rows * a.classes);
}

static void compute_cosface(frame *f)
{
    const lp_cosface *c = f->call;
    const label_margin margin = {false, c->margin, LP_KEEP};
    compute_margin_softmax(f, new_angles(f, &c->embeddings, &c->class_weights, c->scale), &margin, &c->labels, &c->mask,
                           &c->weights, c->reduction);
}

/* ==== Cross-entropy with labels and with targets (spec/cross_entropy.md, spec/soft_cross_entropy.md) ==== */

typedef struct {
    size_t rows, classes;
    const double *z;
    double *gz;
    const double *class_weight;
    double smoothing;
    double *share, *cost; /* of the row at hand: the weighed smoothed targets, and the costs of the classes */
} entropy;

static entropy new_entropy(frame *f, const lp_array *logits, const double *class_weight, double smoothing)
{
    size_t classes = logits->shape[1];
    return (entropy){logits->shape[0], classes, floats(f, logits), gradient_of(f, logits), class_weight, smoothing,
                     doubles(f, classes), doubles(f, classes)};
}

static void share_label(const entropy *e, size_t label) /* CE-2, CE-13 */
{
    for (size_t k = 0; k < e->classes; k++)
        e->share[k] = e->class_weight[k] * ((1.0 - e->smoothing) * (k == label) + e->smoothing / (double)e->classes);
}

static void share_targets(const entropy *e, const double *target) /* ST-3, ST-17 */
{
    for (size_t k = 0; k < e->classes; k++)
        e->share[k] = e->class_weight[k] * ((1.0 - e->smoothing) * target[k] + e->smoothing / (double)e->classes);
}

/* sum_k share_k * cost_k. A class without a share is left out, whatever its logit is (CE-7, CE-16, ST-9, ST-20). */
static double entropy_term(const entropy *e, size_t i)
{
    const double *z = e->z + i * e->classes;
    double sum = holds_nan(z, e->classes) ? NAN : 0.0;
    softmax_costs(e->classes, z, e->cost);
    for (size_t k = 0; k < e->classes; k++)
        if (!(e->share[k] == 0.0)) /* CE-9, ST-11 */
            sum += e->share[k] * e->cost[k];
    return sum;
}

static void send_entropy(const entropy *e, size_t i, double slope) /* CE-4, CE-8, CE-15, ST-5, ST-19 */
{
    double total = 0.0;
    for (size_t k = 0; k < e->classes; k++)
        total += e->share[k];
    for (size_t k = 0; k < e->classes; k++)
        e->gz[i * e->classes + k] += slope * (total * exp(-e->cost[k]) - e->share[k]);
}

static void label_terms(const entropy *e, const bool *part, const double *weight, const size_t *class, terms *t)
{
    for (size_t i = 0; i < e->rows; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        share_label(e, class[i]);
        set_term(t, i, weight[i], entropy_term(e, i), true);
        t->count[i] = e->class_weight[class[i]]; /* CE-14 */
    }
}

static void send_label_terms(const entropy *e, const size_t *class, const terms *t)
{
    for (size_t i = 0; i < e->rows; i++) {
        if (t->slope[i] == 0.0)
            continue;
        share_label(e, class[i]);
        entropy_term(e, i);
        send_entropy(e, i, t->slope[i]);
    }
}

static void compute_cross_entropy(frame *f)
{
    const lp_cross_entropy *c = f->call;
    size_t rows = length(f, 'B'), classes = length(f, 'K');
    entropy e = new_entropy(f, &c->logits, weights_of(f, "class_weights", &c->class_weights, NULL, classes), /* CE-18 */
                            c->label_smoothing);
    const bool *part = mask_of(f, &c->mask, rows);
    const double *weight = weights_of(f, "weights", &c->weights, part, rows);
    const size_t *class = classes_of(f, &c->labels, part, classes);
    terms t = new_terms(f, rows);
    if (f->status != LP_OK)
        return;
    label_terms(&e, part, weight, class, &t);
    finish(f, &t, c->reduction);
    send_label_terms(&e, class, &t);
}

static void check_targets(frame *f, const double *target, const bool *part, size_t rows, size_t classes) /* ST-15 */
{
    for (size_t i = 0; i < rows * classes; i++)
        if (part[i / classes] && target[i] < 0.0)
            fail(f, "targets must be 0 or above, got %g in row %zu", target[i], i / classes);
}

static void compute_soft_cross_entropy(frame *f)
{
    const lp_soft_cross_entropy *c = f->call;
    size_t rows = length(f, 'B'), classes = length(f, 'K');
    entropy e = new_entropy(f, &c->logits, weights_of(f, "class_weights", &c->class_weights, NULL, classes), /* ST-22 */
                            c->label_smoothing);
    const bool *part = mask_of(f, &c->mask, rows);
    const double *weight = weights_of(f, "weights", &c->weights, part, rows), *target = floats(f, &c->targets);
    double *gt = gradient_of(f, &c->targets);
    terms t = new_terms(f, rows);
    if (f->status == LP_OK)
        check_targets(f, target, part, rows, classes);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < rows; i++) {
        if (!part[i] || weight[i] == 0.0)
            continue;
        share_targets(&e, target + i * classes);
        set_term(&t, i, weight[i], entropy_term(&e, i), true); /* ST-18 */
    }
    finish(f, &t, c->reduction);
    for (size_t i = 0; i < rows; i++) {
        if (t.slope[i] == 0.0)
            continue;
        share_targets(&e, target + i * classes);
        entropy_term(&e, i);
        send_entropy(&e, i, t.slope[i]);
        for (size_t k = 0; k < classes; k++)
            if (!(e.share[k] == 0.0 && isinf(e.cost[k]))) /* ST-6, ST-10, ST-19 */
                gt[i * classes + k] += t.slope[i] * (1.0 - c->label_smoothing) * e.class_weight[k] * e.cost[k];
    }
}

/* ==== Joint loss (spec/joint.md) ==== */

/* The mean of one part, and slopes that have its weight (JO-5, JO-7, JO-10). */
static double weighed_mean(const frame *f, terms *t, double weight)
{
    double cotangent = weight * (f->cotangent ? f->cotangent[0] : 1.0);
    return weight * reduce(t, LP_MEAN, &cotangent);
}

static void compute_joint(frame *f) /* JO-1 */
{
    const lp_joint *c = f->call;
    const lp_batch batch = {.embeddings = c->embeddings, .labels = c->labels, .mask = c->mask, .weights = c->weights};
    pairs p = new_pairs(f, &batch, (metric){.kind = LP_EUCLIDEAN}); /* JO-3 */
    entropy e = new_entropy(f, &c->logits, weights_of(f, "class_weights", &(lp_array){0}, NULL, length(f, 'K')),
                            c->label_smoothing); /* JO-2 */
    const size_t *class = classes_of(f, &c->labels, p.part, length(f, 'K'));
    center_parts centers = {p.anchors, p.width, p.x, floats(f, &c->centers), p.gx, gradient_of(f, &c->centers), class,
                            1.0, 0.0, INFINITY}; /* JO-4 */
    terms softmax = new_terms(f, p.anchors), triplets = new_terms(f, p.anchors), to_center = new_terms(f, p.anchors);
    if (f->status != LP_OK)
        return;
    label_terms(&e, p.part, p.weight, class, &softmax);
    hardest h = hardest_terms(f, &p, c->triplet_margin, false, false, &triplets);
    if (f->status != LP_OK)
        return;
    center_terms(&centers, p.part, p.weight, &to_center);
    double value = weighed_mean(f, &softmax, 1.0) + weighed_mean(f, &triplets, c->triplet_weight) +
                   weighed_mean(f, &to_center, c->center_weight);
    store(f->arithmetic, f->results[0], &value, 1);
    send_label_terms(&e, class, &softmax);
    send_hardest(&p, &h, c->triplet_margin, false, &triplets);
    send_center(&centers, &to_center);
}

/* ==== Mining (spec/mining.md) ==== */

static void compute_triplet_masks(frame *f)
{
    const lp_masks *c = f->call;
    size_t rows = length(f, 'B');
    const integer *label = labels_of(f, &c->labels);
    const bool *part = mask_of(f, &c->mask, rows);
    unsigned char *positive = f->results[0], *negative = f->results[1];
    if (f->status != LP_OK)
        return;
    for (size_t a = 0; a < rows; a++) {
        for (size_t j = 0; j < rows; j++) {
            bool both = part[a] && part[j], same = equal(label[a], label[j]); /* MI-3 */
            positive[a * rows + j] = both && same && a != j;                  /* MI-1 */
            negative[a * rows + j] = both && !same;                           /* MI-2 */
        }
    }
}

static int64_t difficulty(double near, double far, double margin)
{
    if (isnan(near) || isnan(far)) /* MI-7 */
        return -1;
    if (near + margin <= far) /* MI-4 */
        return 0;
    return far <= near ? 2 : 1; /* MI-5, MI-6 */
}

static void compute_classify_triplets(frame *f) /* MI-8 */
{
    const lp_difficulty *c = f->call;
    size_t count = lp_count(&c->d_ap);
    int64_t *code = f->results[0];
    for (size_t i = 0; i < count; i++)
        code[i] = difficulty(float_at(&c->d_ap, i), float_at(&c->d_an, i), c->margin);
}

/* ==== Triplets and pairs that are drawn (spec/mining.md) ==== */

lp_random lp_seed(uint64_t number)
{
    return (lp_random){number};
}

/* The next 64 bits of splitmix64 (Steele, Lea & Flood 2014). */
static uint64_t next_bits(lp_random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* A number below `end`, each with the same probability: bits that would favour the small ones are drawn anew. */
static uint64_t draw_below(lp_random *random, uint64_t end)
{
    uint64_t unfair = (UINT64_MAX - end + 1) % end, bits;
    do
        bits = next_bits(random);
    while (bits < unfair);
    return bits % end;
}

static bool has_random(frame *f, const lp_random *random) /* MI-21, MI-22 */
{
    if (!random)
        fail(f, "random must be a state, got NULL");
    return random;
}

typedef struct {
    integer label;
    size_t row;
    size_t start, count; /* the rows of the label, in the order of labels */
} labelled;

/* The rows of a data set, ordered by label, with the sum of a weight up to each. */
typedef struct {
    size_t size;
    labelled *row;
    uint64_t *up_to;
    uint64_t total;
} drawer;

static int by_label(const void *a, const void *b)
{
    const labelled *x = a, *y = b;
    if (x->label.negative != y->label.negative)
        return x->label.negative ? -1 : 1;
    if (x->label.bits != y->label.bits)
        return x->label.bits < y->label.bits ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static drawer new_drawer(frame *f, const lp_array *labels)
{
    drawer d = {.size = lp_count(labels)};
    d.row = allocate(f, d.size, sizeof *d.row);
    d.up_to = allocate(f, d.size, sizeof *d.up_to);
    if (f->status != LP_OK)
        return d;
    for (size_t i = 0; i < d.size; i++)
        d.row[i] = (labelled){.label = integer_at(labels, i), .row = i};
    qsort(d.row, d.size, sizeof *d.row, by_label);
    for (size_t i = 0, start = 0; i < d.size; i++) {
        start = i && equal(d.row[i].label, d.row[start].label) ? start : i;
        d.row[i].start = start;
        d.row[start].count++;
    }
    for (size_t i = 0; i < d.size; i++)
        d.row[i].count = d.row[d.row[i].start].count;
    return d;
}

/* Weigh each row by the number of its positives, where they are wanted, times that of its negatives likewise. */
static void weigh_rows(drawer *d, bool positives, bool negatives)
{
    d->total = 0;
    for (size_t i = 0; i < d->size; i++) {
        uint64_t count = d->row[i].count;
        d->total += (positives ? count - 1 : 1) * (negatives ? d->size - count : 1);
        d->up_to[i] = d->total;
    }
}

static const labelled *draw_row(const drawer *d, lp_random *random)
{
    uint64_t number = draw_below(random, d->total);
    size_t low = 0, high = d->size - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->up_to[middle] > number)
            high = middle;
        else
            low = middle + 1;
    }
    return &d->row[low];
}

static int64_t draw_positive(const drawer *d, const labelled *anchor, lp_random *random)
{
    size_t place = anchor->start + draw_below(random, anchor->count - 1);
    place += place >= (size_t)(anchor - d->row); /* any but the anchor */
    return (int64_t)d->row[place].row;
}

static int64_t draw_negative(const drawer *d, const labelled *anchor, lp_random *random)
{
    size_t place = draw_below(random, d->size - anchor->count);
    place += place >= anchor->start ? anchor->count : 0;
    return (int64_t)d->row[place].row;
}

static void compute_sample_triplets(frame *f) /* MI-9, MI-10 */
{
    const lp_label_draws *c = f->call;
    drawer d = new_drawer(f, &c->labels);
    int64_t *triplet = f->results[0];
    if (f->status != LP_OK || !has_random(f, c->random))
        return;
    weigh_rows(&d, true, true);
    if (c->n && !d.total) /* MI-14 */
        fail(f, "labels must have a triplet: two rows of one label, and one of another");
    for (int64_t i = 0; f->status == LP_OK && i < c->n; i++) {
        const labelled *anchor = draw_row(&d, c->random);
        triplet[3 * i] = (int64_t)anchor->row;
        triplet[3 * i + 1] = draw_positive(&d, anchor, c->random);
        triplet[3 * i + 2] = draw_negative(&d, anchor, c->random);
    }
}

static void compute_sample_pairs(frame *f) /* MI-11, MI-12 */
{
    const lp_label_draws *c = f->call;
    drawer similar = new_drawer(f, &c->labels), other = new_drawer(f, &c->labels);
    int64_t *pair = f->results[0];
    unsigned char *dissimilar = f->results[1];
    if (f->status != LP_OK || !has_random(f, c->random))
        return;
    weigh_rows(&similar, true, false);
    weigh_rows(&other, false, true);
    if ((c->n > 0 && !similar.total) || (c->n > 1 && !other.total)) /* MI-14 */
        fail(f, "labels must have a pair of each kind that is drawn");
    for (int64_t i = 0; f->status == LP_OK && i < c->n; i++) {
        const drawer *d = i % 2 ? &other : &similar;
        const labelled *first = draw_row(d, c->random);
        pair[2 * i] = (int64_t)first->row;
        pair[2 * i + 1] = i % 2 ? draw_negative(d, first, c->random) : draw_positive(d, first, c->random);
        dissimilar[i] = i % 2;
    }
}

static void compute_sample_active(frame *f) /* MI-13 */
{
    const lp_active_draws *c = f->call;
    size_t count = lp_count(&c->terms), active = 0, *row = sizes(f, count);
    int64_t *index = f->results[0];
    if (f->status != LP_OK || !has_random(f, c->random))
        return;
    for (size_t i = 0; i < count; i++)
        if (float_at(&c->terms, i) > 0.0)
            row[active++] = i;
    for (int64_t i = 0; i < c->n; i++)
        index[i] = active ? (int64_t)row[draw_below(c->random, active)] : -1;
}

/* A negative of the pair from its chosen set (MI-16), or -1 where the set is empty (MI-15). */
static int64_t pick_negative(const lp_negative_draws *c, const pairs *p, size_t a, size_t j, const double *d,
                             size_t *set)
{
    const bool wanted[] = {c->easy, c->semi_hard, c->hard};
    size_t count = 0;
    for (size_t n = 0; n < p->others; n++) {
        int64_t code = relate(p, a, n) == NEGATIVE ? difficulty(d[j], d[n], c->margin) : -1; /* MI-17, MI-19 */
        if (code >= 0 && wanted[code])
            set[count++] = n;
    }
    return count ? (int64_t)set[draw_below(c->random, count)] : -1;
}

typedef struct {
    int64_t row[3];
} triplet;

/* Keep as many of the picks as there is room for, each choice of them with the same probability, in their order. */
static size_t thin_out(triplet *pick, size_t count, size_t room, lp_random *random) /* MI-18 */
{
    size_t kept = 0;
    if (count <= room)
        return count;
    for (size_t i = 0; i < count && kept < room; i++)
        if (draw_below(random, count - i) < room - kept)
            pick[kept++] = pick[i];
    return kept;
}

static void compute_sample_negatives(frame *f)
{
    const lp_negative_draws *c = f->call;
    const lp_batch batch = {.embeddings = c->embeddings, .labels = c->labels, .mask = c->mask};
    pairs p = new_pairs(f, &batch, (metric){.kind = c->distance});
    size_t room = length(f, 'P'), count = 0, *set = sizes(f, p.others);
    triplet *pick = allocate(f, p.anchors * p.others, sizeof *pick);
    double *d = doubles(f, p.others);
    if (!c->easy && !c->semi_hard && !c->hard) /* MI-22 */
        fail(f, "one or more of easy, semi_hard and hard must be true");
    if (f->status != LP_OK || !has_random(f, c->random))
        return;
    for (size_t a = 0; a < p.anchors; a++) {
        if (!p.part[a])
            continue;
        fill_distances(&p, a, d);
        for (size_t j = 0; j < p.others; j++) {
            int64_t n = relate(&p, a, j) == POSITIVE ? pick_negative(c, &p, a, j, d, set) : -1;
            if (n >= 0)
                pick[count++] = (triplet){{(int64_t)a, (int64_t)j, n}};
        }
    }
    count = thin_out(pick, count, room, c->random);
    for (size_t i = 0; i < room; i++)
        for (size_t side = 0; side < 3; side++)
            ((int64_t *)f->results[side])[i] = i < count ? pick[i].row[side] : -1;
    *(int64_t *)f->results[3] = (int64_t)count;
}

/* ==== Verification (spec/verification.md) ==== */

typedef struct {
    double distance;
    bool same;
} verified;

typedef struct {
    size_t size, of_kind[2]; /* the pairs, and the different and the same ones of them */
    bool nan[2];             /* whether a distance of the kind is NaN (VE-4) */
    verified *pair;          /* ascending */
} verification;

static int by_distance(const void *a, const void *b)
{
    double x = ((const verified *)a)->distance, y = ((const verified *)b)->distance;
    return (x > y) - (x < y);
}

static verification new_verification(frame *f)
{
    const lp_verification *c = f->call;
    verification v = {.size = length(f, 'N')};
    const bool *same = mask_of(f, &c->same, v.size);
    v.pair = allocate(f, v.size, sizeof *v.pair);
    for (size_t i = 0; f->status == LP_OK && i < v.size; i++) {
        v.pair[i] = (verified){float_at(&c->distances, i), same[i]};
        v.of_kind[same[i]]++;
        v.nan[same[i]] = v.nan[same[i]] || isnan(v.pair[i].distance);
        if (v.pair[i].distance == -INFINITY)
            fail(f, "distances must be in (-inf, inf], got -inf at %zu", i);
    }
    if (f->status == LP_OK && v.size && !v.nan[0] && !v.nan[1])
        qsort(v.pair, v.size, sizeof *v.pair, by_distance);
    return v;
}

static const double *thresholds_of(frame *f) /* VE-6 */
{
    const lp_verification *c = f->call;
    const double *threshold = floats(f, &c->thresholds);
    for (size_t i = 0; threshold && i < length(f, 'T'); i++)
        if (isnan(threshold[i]) || (i && threshold[i] < threshold[i - 1]))
            fail(f, "thresholds must ascend and not be NaN, got %g at %zu", threshold[i], i);
    return threshold;
}

/* How many pairs of a kind are accepted: a distance that is equal to the threshold is (VE-2). */
static size_t accepted(const verification *v, bool same, double threshold)
{
    size_t count = 0;
    for (size_t i = 0; i < v->size; i++)
        count += v->pair[i].same == same && v->pair[i].distance <= threshold;
    return count;
}

/* A quotient of two counts in the dtype of the result; NaN over nothing (VE-3, VE-5). To round it to double first
 * changes no float32: below 2^28 pairs no quotient is so near the middle of two floats without being it. */
static double rate(const frame *f, size_t count, size_t all)
{
    double quotient = all ? (double)count / (double)all : NAN;
    return f->arithmetic == LP_FLOAT64 ? quotient : (double)(float)quotient;
}

static void compute_verification_rates(frame *f) /* VE-1 */
{
    verification v = new_verification(f);
    const double *threshold = thresholds_of(f);
    size_t count = length(f, 'T');
    double *rates = doubles(f, count);
    for (size_t kind = 0; f->status == LP_OK && kind < 2; kind++) {
        for (size_t i = 0; i < count; i++)
            rates[i] = v.nan[kind] ? NAN : rate(f, accepted(&v, kind, threshold[i]), v.of_kind[kind]);
        store(f->arithmetic, f->results[kind ? 0 : 1], rates, count);
    }
}

static void compute_verification_accuracy(frame *f) /* VE-9 */
{
    verification v = new_verification(f);
    const double *threshold = thresholds_of(f);
    size_t count = length(f, 'T');
    double *accuracy = doubles(f, count);
    if (f->status != LP_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        size_t right = accepted(&v, true, threshold[i]) + v.of_kind[0] - accepted(&v, false, threshold[i]);
        accuracy[i] = v.nan[0] || v.nan[1] ? NAN : rate(f, right, v.size);
    }
    store(f->arithmetic, f->results[0], accuracy, count);
}

static void store_two(frame *f, double first, double second)
{
    store(f->arithmetic, f->results[0], &first, 1);
    store(f->arithmetic, f->results[1], &second, 1);
}

/* Whether the pair is the last at its distance, so that the distance is a threshold of its own. */
static bool ends_a_tie(const verification *v, size_t i)
{
    return i + 1 == v->size || v->pair[i + 1].distance > v->pair[i].distance;
}

static void compute_best_accuracy(frame *f) /* VE-10 */
{
    verification v = new_verification(f);
    if (f->status != LP_OK)
        return;
    if (!v.size || v.nan[0] || v.nan[1]) {
        store_two(f, NAN, NAN);
        return;
    }
    size_t right = v.of_kind[0], best = right;
    double threshold = -INFINITY;
    for (size_t i = 0; i < v.size; i++) {
        right = v.pair[i].same ? right + 1 : right - 1;
        if (ends_a_tie(&v, i) && right > best) {
            best = right;
            threshold = v.pair[i].distance;
        }
    }
    store_two(f, rate(f, best, v.size), threshold);
}

static void compute_val_at_far(frame *f) /* VE-11 */
{
    const lp_verification *c = f->call;
    verification v = new_verification(f);
    if (f->status != LP_OK)
        return;
    if (!v.of_kind[0] || !v.of_kind[1] || v.nan[0] || v.nan[1]) {
        store_two(f, NAN, NAN);
        return;
    }
    double most = f->arithmetic == LP_FLOAT64 ? c->far : (double)(float)c->far, threshold = -INFINITY;
    size_t of_kind[2] = {0, 0}, right = 0;
    for (size_t i = 0; i < v.size; i++) {
        of_kind[v.pair[i].same]++;
        if (ends_a_tie(&v, i) && rate(f, of_kind[0], v.of_kind[0]) <= most) {
            right = of_kind[1];
            threshold = v.pair[i].distance;
        }
    }
    store_two(f, rate(f, right, v.of_kind[1]), threshold);
}

/* ==== The signatures of the pages ==== */

#define INPUT(call, name, kind, shape, flags) {#name, offsetof(call, name), LP_KIND_##kind, shape, flags}
#define OF_BATCH(call, name, kind, shape, flags) {#name, offsetof(call, batch.name), LP_KIND_##kind, shape, flags}
#define REAL(call, name, fallback, range) {#name, offsetof(call, name), LP_KIND_REAL, fallback, range, NULL, false}
#define FLAG(call, name, fallback) {#name, offsetof(call, name), LP_KIND_FLAG, fallback, NULL, NULL, false}
#define CHOICE(call, name, fallback, words) {#name, offsetof(call, name), LP_KIND_CHOICE, fallback, NULL, words, false}
#define COUNT(list) (sizeof(list) / sizeof *(list))
#define SIGNATURE(symbol, name, call, inputs, options, returns, is_loss)                                             \
    const lp_signature lp_##symbol##_signature = {name, sizeof(call), inputs, COUNT(inputs), options, COUNT(options), \
                                                  returns, COUNT(returns), is_loss, false, compute_##symbol};
#define RANDOM_SIGNATURE(symbol, call, inputs, options, returns)                                                     \
    const lp_signature lp_##symbol##_signature = {#symbol, sizeof(call), inputs, COUNT(inputs), options,              \
                                                  COUNT(options), returns, COUNT(returns), false, true,               \
                                                  compute_##symbol};
#define WITHOUT_OPTIONS(symbol, call, inputs, returns)                                                               \
    const lp_signature lp_##symbol##_signature = {#symbol, sizeof(call), inputs, COUNT(inputs), NULL, 0, returns,     \
                                                  COUNT(returns), false, false, compute_##symbol};

static const char *const DISTANCES[] = {"p_norm", "euclidean", "squared_euclidean", "cosine", NULL};
static const char *const PAIR_DISTANCES[] = {"", "euclidean", "squared_euclidean", "cosine", NULL}; /* PW-1 */
static const char *const EPS_AT[] = {"difference", "root", "floor", NULL};
static const char *const PAIRWISE[] = {"gram", "direct", NULL};
static const char *const BEYOND_PI[] = {"keep", "linear", "continuous", NULL};
static const char *const REDUCTIONS[] = {"none", "sum", "mean", "mean_nonzero", NULL};
static const char *const PLAIN_REDUCTIONS[] = {"none", "sum", "mean", NULL};

#define P_NORM_OPTIONS(call, eps_default)                                                     \
    {"p", offsetof(call, p), LP_KIND_REAL, 2.0, "[1, inf]", NULL, true},                      \
    {"eps", offsetof(call, eps), LP_KIND_REAL, eps_default, "[0, inf)", NULL, true},          \
    {"eps_at", offsetof(call, eps_at), LP_KIND_CHOICE, LP_AT_DIFFERENCE, NULL, EPS_AT, true}

#define MAX_POSITIVES(call) \
    {"max_positives", offsetof(call, max_positives), LP_KIND_INTEGER, INFINITY, "[1, inf)", NULL, false}

#define BATCH_INPUTS(call)                                                     \
    OF_BATCH(call, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),               \
    OF_BATCH(call, labels, LABEL, "B", 0),                                     \
    OF_BATCH(call, mask, BOOL, "B", LP_OPTIONAL),                              \
    OF_BATCH(call, weights, WEIGHT, "B", LP_OPTIONAL),                         \
    OF_BATCH(call, candidates, FLOAT, "M D", LP_DIFFERENTIABLE | LP_OPTIONAL | LP_WIDER), \
    OF_BATCH(call, candidate_labels, LABEL, "M", LP_OPTIONAL),                 \
    OF_BATCH(call, candidate_mask, BOOL, "M", LP_OPTIONAL),                    \
    OF_BATCH(call, candidate_index, INDEX, "B", LP_OPTIONAL)

static const lp_return LEADING_VALUE[] = {{"value", "...", LP_ABSENT, NULL}};
static const lp_return ROW_VALUE[] = {{"value", "B", LP_ABSENT, NULL}};
static const lp_return PAIR_VALUE[] = {{"value", "B M", LP_ABSENT, NULL}};
static const lp_return ONE_VALUE[] = {{"value", "", LP_ABSENT, NULL}};

static const lp_input TRIPLET_MARGIN_INPUTS[] = {
    INPUT(lp_triplet_margin, anchor, FLOAT, "... D", LP_DIFFERENTIABLE),
    INPUT(lp_triplet_margin, positive, FLOAT, "... D", LP_DIFFERENTIABLE),
    INPUT(lp_triplet_margin, negative, FLOAT, "... D", LP_DIFFERENTIABLE),
    INPUT(lp_triplet_margin, mask, BOOL, "...", LP_OPTIONAL),
    INPUT(lp_triplet_margin, weights, WEIGHT, "...", LP_OPTIONAL),
};
static const lp_option TRIPLET_MARGIN_OPTIONS[] = { /* TM-9 */
    REAL(lp_triplet_margin, margin, 1.0, "[0, inf)"),
    FLAG(lp_triplet_margin, soft_margin, false),
    CHOICE(lp_triplet_margin, distance, LP_P_NORM, DISTANCES),
    P_NORM_OPTIONS(lp_triplet_margin, 1e-6),
    FLAG(lp_triplet_margin, swap, false),
    CHOICE(lp_triplet_margin, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(triplet_margin, "triplet_margin_loss", lp_triplet_margin, TRIPLET_MARGIN_INPUTS, TRIPLET_MARGIN_OPTIONS,
          LEADING_VALUE, true)

static const lp_input CONTRASTIVE_INPUTS[] = {
    INPUT(lp_contrastive, x1, FLOAT, "... D", LP_DIFFERENTIABLE),
    INPUT(lp_contrastive, x2, FLOAT, "... D", LP_DIFFERENTIABLE),
    INPUT(lp_contrastive, dissimilar, BOOL, "...", 0), /* CO-9 */
    INPUT(lp_contrastive, mask, BOOL, "...", LP_OPTIONAL),
    INPUT(lp_contrastive, weights, WEIGHT, "...", LP_OPTIONAL),
};
static const lp_option CONTRASTIVE_OPTIONS[] = { /* CO-5 */
    REAL(lp_contrastive, margin, 1.0, "[0, inf)"),
    REAL(lp_contrastive, factor, 0.5, "[0, inf)"),
    CHOICE(lp_contrastive, distance, LP_P_NORM, DISTANCES),
    P_NORM_OPTIONS(lp_contrastive, 0.0),
    CHOICE(lp_contrastive, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(contrastive, "contrastive_loss", lp_contrastive, CONTRASTIVE_INPUTS, CONTRASTIVE_OPTIONS, LEADING_VALUE, true)

static const lp_input BATCH_HARD_INPUTS[] = {BATCH_INPUTS(lp_batch_hard)};
static const lp_option BATCH_HARD_OPTIONS[] = { /* BH-6 */
    REAL(lp_batch_hard, margin, 0.3, "[0, inf)"),
    FLAG(lp_batch_hard, soft_margin, false),
    CHOICE(lp_batch_hard, distance, LP_EUCLIDEAN, PAIR_DISTANCES),
    REAL(lp_batch_hard, floor, 0.0, "[0, inf)"),
    FLAG(lp_batch_hard, include_self, false),
    CHOICE(lp_batch_hard, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(batch_hard, "batch_hard_triplet_loss", lp_batch_hard, BATCH_HARD_INPUTS, BATCH_HARD_OPTIONS, ROW_VALUE, true)

static const lp_input BATCH_ALL_INPUTS[] = {BATCH_INPUTS(lp_batch_all)};
static const lp_option BATCH_ALL_OPTIONS[] = { /* BA-8 */
    REAL(lp_batch_all, margin, 1.0, "[0, inf)"),
    CHOICE(lp_batch_all, distance, LP_EUCLIDEAN, PAIR_DISTANCES),
    CHOICE(lp_batch_all, pairwise, LP_GRAM, PAIRWISE),
    MAX_POSITIVES(lp_batch_all),
    CHOICE(lp_batch_all, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(batch_all, "batch_all_triplet_loss", lp_batch_all, BATCH_ALL_INPUTS, BATCH_ALL_OPTIONS, ROW_VALUE, true)

static const lp_input ACTIVE_FRACTION_INPUTS[] = {
    OF_BATCH(lp_batch_all, embeddings, FLOAT, "B D", 0), /* BA-14 */
    OF_BATCH(lp_batch_all, labels, LABEL, "B", 0),
    OF_BATCH(lp_batch_all, mask, BOOL, "B", LP_OPTIONAL),
};
static const lp_option ACTIVE_FRACTION_OPTIONS[] = { /* BA-16 */
    REAL(lp_batch_all, margin, 1.0, "[0, inf)"),
    CHOICE(lp_batch_all, distance, LP_EUCLIDEAN, PAIR_DISTANCES),
    CHOICE(lp_batch_all, pairwise, LP_GRAM, PAIRWISE),
    MAX_POSITIVES(lp_batch_all),
};
static const lp_return FRACTION[] = {{"fraction", "", LP_ABSENT, NULL}};
SIGNATURE(active_fraction, "batch_all_active_fraction", lp_batch_all, ACTIVE_FRACTION_INPUTS, ACTIVE_FRACTION_OPTIONS,
          FRACTION, false)

static const lp_input SEMI_HARD_INPUTS[] = {BATCH_INPUTS(lp_semi_hard)};
static const lp_option SEMI_HARD_OPTIONS[] = { /* SH-6 */
    REAL(lp_semi_hard, margin, 1.0, "[0, inf)"),
    FLAG(lp_semi_hard, soft_margin, false),
    CHOICE(lp_semi_hard, distance, LP_SQUARED_EUCLIDEAN, PAIR_DISTANCES),
    CHOICE(lp_semi_hard, pairwise, LP_GRAM, PAIRWISE),
    MAX_POSITIVES(lp_semi_hard),
    CHOICE(lp_semi_hard, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(semi_hard, "semi_hard_triplet_loss", lp_semi_hard, SEMI_HARD_INPUTS, SEMI_HARD_OPTIONS, PAIR_VALUE, true)

static const lp_input CENTER_INPUTS[] = {
    INPUT(lp_center, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),
    INPUT(lp_center, labels, LABEL, "B", 0),
    INPUT(lp_center, centers, FLOAT, "C D", LP_DIFFERENTIABLE | LP_WIDER),
    INPUT(lp_center, mask, BOOL, "B", LP_OPTIONAL),
    INPUT(lp_center, weights, WEIGHT, "B", LP_OPTIONAL),
};
static const lp_option CENTER_OPTIONS[] = { /* CN-4 */
    REAL(lp_center, factor, 0.5, "[0, inf)"),
    REAL(lp_center, floor, 0.0, "[0, inf)"),
    REAL(lp_center, ceiling, INFINITY, NULL), /* CN-10 */
    CHOICE(lp_center, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(center, "center_loss", lp_center, CENTER_INPUTS, CENTER_OPTIONS, ROW_VALUE, true)

static const lp_input UPDATE_CENTERS_INPUTS[] = {
    INPUT(lp_center_update, centers, FLOAT, "C D", LP_WIDER),
    INPUT(lp_center_update, embeddings, FLOAT, "B D", 0),
    INPUT(lp_center_update, labels, LABEL, "B", 0),
    INPUT(lp_center_update, mask, BOOL, "B", LP_OPTIONAL),
};
static const lp_option UPDATE_CENTERS_OPTIONS[] = {REAL(lp_center_update, alpha, 0.5, "[0, 1]")}; /* CN-15, CN-16 */
static const lp_return CENTERS[] = {{"centers", "C D", LP_ABSENT, "centers"}};
SIGNATURE(update_centers, "update_centers", lp_center_update, UPDATE_CENTERS_INPUTS, UPDATE_CENTERS_OPTIONS, CENTERS,
          false)

static const lp_input OIM_INPUTS[] = {
    INPUT(lp_oim, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),
    INPUT(lp_oim, labels, LABEL, "B", 0),
    INPUT(lp_oim, lookup_table, FLOAT, "C D", LP_WIDER),
    INPUT(lp_oim, queue, FLOAT, "Q D", LP_WIDER), /* OI-6, OI-12 */
    INPUT(lp_oim, mask, BOOL, "B", LP_OPTIONAL),
    INPUT(lp_oim, weights, WEIGHT, "B", LP_OPTIONAL),
};
static const lp_option OIM_OPTIONS[] = { /* OI-7 */
    REAL(lp_oim, temperature, 0.1, "(0, inf)"), /* OI-10 */
    {"unlabelled", offsetof(lp_oim, unlabelled), LP_KIND_INTEGER, -1.0, NULL, NULL, false},
    CHOICE(lp_oim, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(oim, "oim_loss", lp_oim, OIM_INPUTS, OIM_OPTIONS, ROW_VALUE, true)

static const lp_input UPDATE_OIM_MEMORY_INPUTS[] = {
    INPUT(lp_oim_update, lookup_table, FLOAT, "C D", LP_WIDER),
    INPUT(lp_oim_update, queue, FLOAT, "Q D", LP_WIDER),
    INPUT(lp_oim_update, head, INDEX, "", 0),
    INPUT(lp_oim_update, embeddings, FLOAT, "B D", 0),
    INPUT(lp_oim_update, labels, LABEL, "B", 0),
    INPUT(lp_oim_update, mask, BOOL, "B", LP_OPTIONAL),
};
static const lp_option UPDATE_OIM_MEMORY_OPTIONS[] = { /* OI-23 */
    REAL(lp_oim_update, momentum, 0.5, "[0, 1]"), /* OI-22 */
    FLAG(lp_oim_update, normalise, true),
    {"unlabelled", offsetof(lp_oim_update, unlabelled), LP_KIND_INTEGER, -1.0, NULL, NULL, false},
};
static const lp_return MEMORY[] = {
    {"lookup_table", "C D", LP_ABSENT, "lookup_table"},
    {"queue", "Q D", LP_ABSENT, "queue"},
    {"head", "", LP_ABSENT, "head"},
};
SIGNATURE(update_oim_memory, "update_oim_memory", lp_oim_update, UPDATE_OIM_MEMORY_INPUTS, UPDATE_OIM_MEMORY_OPTIONS,
          MEMORY, false)

static const lp_input CIRCLE_INPUTS[] = {BATCH_INPUTS(lp_circle)};
static const lp_option CIRCLE_OPTIONS[] = { /* CI-14 */
    REAL(lp_circle, margin, 0.25, "[-1, 1]"),
    REAL(lp_circle, gamma, 256.0, "[0, inf)"),
    FLAG(lp_circle, detach_weights, true),
    CHOICE(lp_circle, reduction, LP_MEAN, REDUCTIONS),
};
SIGNATURE(circle, "circle_loss", lp_circle, CIRCLE_INPUTS, CIRCLE_OPTIONS, ROW_VALUE, true)

#define MARGIN_SOFTMAX_INPUTS(call)                                                     \
    INPUT(call, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),                           \
    INPUT(call, labels, LABEL, "B", 0),                                                 \
    INPUT(call, class_weights, FLOAT, "C D", LP_DIFFERENTIABLE | LP_WIDER),             \
    INPUT(call, mask, BOOL, "B", LP_OPTIONAL), INPUT(call, weights, WEIGHT, "B", LP_OPTIONAL)

static const lp_input ARCFACE_INPUTS[] = {MARGIN_SOFTMAX_INPUTS(lp_arcface)};
static const lp_option ARCFACE_OPTIONS[] = { /* AF-17 */
    REAL(lp_arcface, scale, 64.0, "[0, inf)"),
    REAL(lp_arcface, margin, 0.5, "[0, 3.141592653589793]"), /* AF-15 */
    CHOICE(lp_arcface, beyond_pi, LP_KEEP, BEYOND_PI),
    CHOICE(lp_arcface, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(arcface, "arcface_loss", lp_arcface, ARCFACE_INPUTS, ARCFACE_OPTIONS, ROW_VALUE, true)

static const lp_input ARCFACE_LOGITS_INPUTS[] = { /* AF-21 */
    INPUT(lp_arcface_rows, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),
    INPUT(lp_arcface_rows, class_weights, FLOAT, "C D", LP_DIFFERENTIABLE | LP_WIDER),
};
static const lp_option ARCFACE_LOGITS_OPTIONS[] = {REAL(lp_arcface_rows, scale, 64.0, "[0, inf)")}; /* AF-22 */
static const lp_return LOGITS[] = {{"logits", "B C", LP_ABSENT, NULL}};
SIGNATURE(arcface_logits, "arcface_logits", lp_arcface_rows, ARCFACE_LOGITS_INPUTS, ARCFACE_LOGITS_OPTIONS, LOGITS,
          false)

static const lp_input COSFACE_INPUTS[] = {MARGIN_SOFTMAX_INPUTS(lp_cosface)};
static const lp_option COSFACE_OPTIONS[] = { /* CF-10 */
    REAL(lp_cosface, scale, 64.0, "[0, inf)"),
    REAL(lp_cosface, margin, 0.35, "[0, inf)"), /* CF-3 */
    CHOICE(lp_cosface, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(cosface, "cosface_loss", lp_cosface, COSFACE_INPUTS, COSFACE_OPTIONS, ROW_VALUE, true)

static const lp_input CROSS_ENTROPY_INPUTS[] = {
    INPUT(lp_cross_entropy, logits, FLOAT, "B K", LP_DIFFERENTIABLE),
    INPUT(lp_cross_entropy, labels, LABEL, "B", 0),
    INPUT(lp_cross_entropy, mask, BOOL, "B", LP_OPTIONAL),
    INPUT(lp_cross_entropy, weights, WEIGHT, "B", LP_OPTIONAL),
    INPUT(lp_cross_entropy, class_weights, WEIGHT, "K", LP_OPTIONAL), /* CE-17 */
};
static const lp_option CROSS_ENTROPY_OPTIONS[] = { /* CE-12 */
    REAL(lp_cross_entropy, label_smoothing, 0.0, "[0, 1]"), /* CE-6 */
    CHOICE(lp_cross_entropy, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(cross_entropy, "cross_entropy_loss", lp_cross_entropy, CROSS_ENTROPY_INPUTS, CROSS_ENTROPY_OPTIONS, ROW_VALUE,
          true)

static const lp_input SOFT_CROSS_ENTROPY_INPUTS[] = {
    INPUT(lp_soft_cross_entropy, logits, FLOAT, "B K", LP_DIFFERENTIABLE),
    INPUT(lp_soft_cross_entropy, targets, FLOAT, "B K", LP_DIFFERENTIABLE | LP_WIDER), /* ST-14 */
    INPUT(lp_soft_cross_entropy, mask, BOOL, "B", LP_OPTIONAL),
    INPUT(lp_soft_cross_entropy, weights, WEIGHT, "B", LP_OPTIONAL),
    INPUT(lp_soft_cross_entropy, class_weights, WEIGHT, "K", LP_OPTIONAL), /* ST-21 */
};
static const lp_option SOFT_CROSS_ENTROPY_OPTIONS[] = { /* ST-16 */
    REAL(lp_soft_cross_entropy, label_smoothing, 0.0, "[0, 1]"), /* ST-8 */
    CHOICE(lp_soft_cross_entropy, reduction, LP_MEAN, PLAIN_REDUCTIONS),
};
SIGNATURE(soft_cross_entropy, "soft_cross_entropy_loss", lp_soft_cross_entropy, SOFT_CROSS_ENTROPY_INPUTS,
          SOFT_CROSS_ENTROPY_OPTIONS, ROW_VALUE, true)

static const lp_input JOINT_INPUTS[] = { /* JO-8 */
    INPUT(lp_joint, logits, FLOAT, "B K", LP_DIFFERENTIABLE | LP_WIDER),
    INPUT(lp_joint, embeddings, FLOAT, "B D", LP_DIFFERENTIABLE),
    INPUT(lp_joint, labels, LABEL, "B", 0),
    INPUT(lp_joint, centers, FLOAT, "K D", LP_DIFFERENTIABLE | LP_WIDER),
    INPUT(lp_joint, mask, BOOL, "B", LP_OPTIONAL),
    INPUT(lp_joint, weights, WEIGHT, "B", LP_OPTIONAL),
};
static const lp_option JOINT_OPTIONS[] = { /* JO-6 */
    REAL(lp_joint, triplet_weight, 1.0, "[0, inf)"),
    REAL(lp_joint, center_weight, 5e-4, "[0, inf)"),
    REAL(lp_joint, triplet_margin, 0.3, "[0, inf)"),
    REAL(lp_joint, label_smoothing, 0.1, "[0, 1]"),
};
SIGNATURE(joint, "joint_loss", lp_joint, JOINT_INPUTS, JOINT_OPTIONS, ONE_VALUE, true)

static const lp_input TRIPLET_MASKS_INPUTS[] = {
    INPUT(lp_masks, labels, LABEL, "B", 0),
    INPUT(lp_masks, mask, BOOL, "B", LP_OPTIONAL),
};
static const lp_return MASKS[] = {{"positive", "B B", LP_BOOL, NULL}, {"negative", "B B", LP_BOOL, NULL}};
WITHOUT_OPTIONS(triplet_masks, lp_masks, TRIPLET_MASKS_INPUTS, MASKS)

static const lp_input CLASSIFY_TRIPLETS_INPUTS[] = {
    INPUT(lp_difficulty, d_ap, FLOAT, "...", 0),
    INPUT(lp_difficulty, d_an, FLOAT, "...", 0),
};
static const lp_option CLASSIFY_TRIPLETS_OPTIONS[] = {REAL(lp_difficulty, margin, NAN, "[0, inf)")};
static const lp_return CODE[] = {{"code", "...", LP_INT64, NULL}};
SIGNATURE(classify_triplets, "classify_triplets", lp_difficulty, CLASSIFY_TRIPLETS_INPUTS, CLASSIFY_TRIPLETS_OPTIONS,
          CODE, false)

#define DRAWS(call) {"n", offsetof(call, n), LP_KIND_INTEGER, NAN, "[0, inf)", NULL, false}

static const lp_input LABELS_TO_DRAW_FROM[] = {INPUT(lp_label_draws, labels, LABEL, "N", 0)};
static const lp_option LABEL_DRAWS_OPTIONS[] = {DRAWS(lp_label_draws)};
static const lp_return TRIPLETS[] = {{"triplets", "n 3", LP_INT64, NULL}};
static const lp_return PAIRS[] = {{"pairs", "n 2", LP_INT64, NULL}, {"dissimilar", "n", LP_BOOL, NULL}};
RANDOM_SIGNATURE(sample_triplets, lp_label_draws, LABELS_TO_DRAW_FROM, LABEL_DRAWS_OPTIONS, TRIPLETS)
RANDOM_SIGNATURE(sample_pairs, lp_label_draws, LABELS_TO_DRAW_FROM, LABEL_DRAWS_OPTIONS, PAIRS)

static const lp_input TERMS_TO_DRAW_FROM[] = {INPUT(lp_active_draws, terms, FLOAT, "N", 0)};
static const lp_option ACTIVE_DRAWS_OPTIONS[] = {DRAWS(lp_active_draws)};
static const lp_return INDEX[] = {{"index", "n", LP_INT64, NULL}};
RANDOM_SIGNATURE(sample_active, lp_active_draws, TERMS_TO_DRAW_FROM, ACTIVE_DRAWS_OPTIONS, INDEX)

static const lp_input SAMPLE_NEGATIVES_INPUTS[] = {
    INPUT(lp_negative_draws, embeddings, FLOAT, "B D", 0),
    INPUT(lp_negative_draws, labels, LABEL, "B", 0),
    INPUT(lp_negative_draws, mask, BOOL, "B", LP_OPTIONAL),
};
static const lp_option SAMPLE_NEGATIVES_OPTIONS[] = {
    REAL(lp_negative_draws, margin, NAN, "[0, inf)"),
    FLAG(lp_negative_draws, easy, false),
    FLAG(lp_negative_draws, semi_hard, true),
    FLAG(lp_negative_draws, hard, false),
    CHOICE(lp_negative_draws, distance, LP_SQUARED_EUCLIDEAN, PAIR_DISTANCES),
    {"size", offsetof(lp_negative_draws, size), LP_KIND_INTEGER, INFINITY, "[0, inf)", NULL, false},
};
static const lp_return PICKS[] = {
    {"a", "P", LP_INT64, NULL}, {"p", "P", LP_INT64, NULL}, {"n", "P", LP_INT64, NULL}, {"picks", "", LP_INT64, NULL}};
RANDOM_SIGNATURE(sample_negatives, lp_negative_draws, SAMPLE_NEGATIVES_INPUTS, SAMPLE_NEGATIVES_OPTIONS, PICKS)

#define PAIRS_TO_VERIFY                                     \
    INPUT(lp_verification, distances, FLOAT, "N", 0), /* VE-7 */ \
    INPUT(lp_verification, same, BOOL, "N", 0)

static const lp_input AT_THRESHOLDS[] = {PAIRS_TO_VERIFY, INPUT(lp_verification, thresholds, FLOAT, "T", LP_SCALAR)};
static const lp_input OVER_THRESHOLDS[] = {PAIRS_TO_VERIFY};
static const lp_option VAL_AT_FAR_OPTIONS[] = {REAL(lp_verification, far, 1e-3, "[0, 1]")};
static const lp_return RATES[] = {{"val", "T", LP_ABSENT, NULL}, {"far", "T", LP_ABSENT, NULL}};
static const lp_return ACCURACY[] = {{"accuracy", "T", LP_ABSENT, NULL}};
static const lp_return BEST[] = {{"accuracy", "", LP_ABSENT, NULL}, {"threshold", "", LP_ABSENT, NULL}};
static const lp_return VAL[] = {{"val", "", LP_ABSENT, NULL}, {"threshold", "", LP_ABSENT, NULL}};
WITHOUT_OPTIONS(verification_rates, lp_verification, AT_THRESHOLDS, RATES)
WITHOUT_OPTIONS(verification_accuracy, lp_verification, AT_THRESHOLDS, ACCURACY)
WITHOUT_OPTIONS(best_accuracy, lp_verification, OVER_THRESHOLDS, BEST)
SIGNATURE(val_at_far, "val_at_far", lp_verification, OVER_THRESHOLDS, VAL_AT_FAR_OPTIONS, VAL, false)

const lp_signature *const lp_catalogue[] = {
    &lp_triplet_margin_signature,
    &lp_contrastive_signature,
    &lp_batch_hard_signature,
    &lp_batch_all_signature,
    &lp_active_fraction_signature,
    &lp_semi_hard_signature,
    &lp_center_signature,
    &lp_update_centers_signature,
    &lp_oim_signature,
    &lp_update_oim_memory_signature,
    &lp_circle_signature,
    &lp_arcface_signature,
    &lp_arcface_logits_signature,
    &lp_cosface_signature,
    &lp_cross_entropy_signature,
    &lp_soft_cross_entropy_signature,
    &lp_joint_signature,
    &lp_triplet_masks_signature,
    &lp_classify_triplets_signature,
    &lp_sample_triplets_signature,
    &lp_sample_pairs_signature,
    &lp_sample_active_signature,
    &lp_sample_negatives_signature,
    &lp_verification_rates_signature,
    &lp_verification_accuracy_signature,
    &lp_best_accuracy_signature,
    &lp_val_at_far_signature,
    NULL,
};

/* ==== The functions of the header ==== */

#define LOSS(symbol, name)                                                                                        \
    lp_status name(const lp_##symbol *call, const double *cotangent, void *value, lp_error *error)                \
    {                                                                                                             \
        return lp_run(&lp_##symbol##_signature, call, cotangent, (void *const[]){value}, error);                  \
    }

LOSS(triplet_margin, lp_triplet_margin_loss)
LOSS(contrastive, lp_contrastive_loss)
LOSS(batch_hard, lp_batch_hard_triplet_loss)
LOSS(batch_all, lp_batch_all_triplet_loss)
LOSS(semi_hard, lp_semi_hard_triplet_loss)
LOSS(center, lp_center_loss)
LOSS(oim, lp_oim_loss)
LOSS(circle, lp_circle_loss)
LOSS(arcface, lp_arcface_loss)
LOSS(cosface, lp_cosface_loss)
LOSS(cross_entropy, lp_cross_entropy_loss)
LOSS(soft_cross_entropy, lp_soft_cross_entropy_loss)
LOSS(joint, lp_joint_loss)

lp_status lp_batch_all_active_fraction(const lp_batch_all *call, void *fraction, lp_error *error)
{
    return lp_run(&lp_active_fraction_signature, call, NULL, (void *const[]){fraction}, error);
}

lp_status lp_update_centers(const lp_center_update *call, void *centers, lp_error *error)
{
    return lp_run(&lp_update_centers_signature, call, NULL, (void *const[]){centers}, error);
}

lp_status lp_update_oim_memory(const lp_oim_update *call, void *lookup_table, void *queue, void *head, lp_error *error)
{
    return lp_run(&lp_update_oim_memory_signature, call, NULL, (void *const[]){lookup_table, queue, head}, error);
}

lp_status lp_arcface_logits(const lp_arcface_rows *call, void *logits, lp_error *error)
{
    return lp_run(&lp_arcface_logits_signature, call, NULL, (void *const[]){logits}, error);
}

lp_status lp_triplet_masks(const lp_masks *call, void *positive, void *negative, lp_error *error)
{
    return lp_run(&lp_triplet_masks_signature, call, NULL, (void *const[]){positive, negative}, error);
}

lp_status lp_classify_triplets(const lp_difficulty *call, void *code, lp_error *error)
{
    return lp_run(&lp_classify_triplets_signature, call, NULL, (void *const[]){code}, error);
}

lp_status lp_sample_triplets(const lp_label_draws *call, int64_t *triplets, lp_error *error)
{
    return lp_run(&lp_sample_triplets_signature, call, NULL, (void *const[]){triplets}, error);
}

lp_status lp_sample_pairs(const lp_label_draws *call, int64_t *pairs, unsigned char *dissimilar, lp_error *error)
{
    return lp_run(&lp_sample_pairs_signature, call, NULL, (void *const[]){pairs, dissimilar}, error);
}

lp_status lp_sample_active(const lp_active_draws *call, int64_t *index, lp_error *error)
{
    return lp_run(&lp_sample_active_signature, call, NULL, (void *const[]){index}, error);
}

lp_status lp_sample_negatives(const lp_negative_draws *call, int64_t *a, int64_t *p, int64_t *n, int64_t *picks,
                              lp_error *error)
{
    return lp_run(&lp_sample_negatives_signature, call, NULL, (void *const[]){a, p, n, picks}, error);
}

lp_status lp_verification_rates(const lp_verification *call, void *val, void *far, lp_error *error)
{
    return lp_run(&lp_verification_rates_signature, call, NULL, (void *const[]){val, far}, error);
}

lp_status lp_verification_accuracy(const lp_verification *call, void *accuracy, lp_error *error)
{
    return lp_run(&lp_verification_accuracy_signature, call, NULL, (void *const[]){accuracy}, error);
}

lp_status lp_best_accuracy(const lp_verification *call, void *accuracy, void *threshold, lp_error *error)
{
    return lp_run(&lp_best_accuracy_signature, call, NULL, (void *const[]){accuracy, threshold}, error);
}

lp_status lp_val_at_far(const lp_verification *call, void *val, void *threshold, lp_error *error)
{
    return lp_run(&lp_val_at_far_signature, call, NULL, (void *const[]){val, threshold}, error);
}
