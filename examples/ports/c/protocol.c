/* The program that speaks the protocol (conformance/protocol.md) for lossproof.c.
 *
 *     cc -std=c11 -O2 lossproof.c json.c protocol.c -lm -o port
 *     python -m lossproof certify --command ./port
 *
 * One line is read, answered and forgotten; whatever the line holds, there is an answer. Numbers travel little-endian,
 * as they lie in memory; a machine that keeps them otherwise refuses.
 */
#include "json.h"
#include "lossproof.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ==== One case: what it asks, and the memory that it takes ==== */

typedef struct {
    pool memory;
    const lp_signature *signature;
    void *call;
    long long id;
    bool wants_gradients;
    bool unsupported; /* the message says what is not offered, and not what is wrong */
    char message[320]; /* "" while nothing is */
} request;

/* Give up the case with a message; false, for the caller to return. */
static bool refuse(request *q, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!q->message[0])
        vsnprintf(q->message, sizeof q->message, format, arguments);
    va_end(arguments);
    return false;
}

/* ==== Arrays ==== */

static const char *const DTYPES[] = {"",     "float16", "bfloat16", "float32", "float64", "bool",   "int8",
                                     "int16", "int32",  "int64",    "uint8",   "uint16",  "uint32", "uint64"};

static lp_dtype dtype_of(const json *name)
{
    for (size_t i = 1; i < sizeof DTYPES / sizeof *DTYPES; i++)
        if (json_is(name, DTYPES[i]))
            return (lp_dtype)i;
    return LP_ABSENT;
}

static bool is_length(const json *value)
{
    return value->kind == JSON_NUMBER && value->number >= 0.0 && value->number <= 9007199254740992.0 &&
           value->number == floor(value->number);
}

static bool read_shape(request *q, const json *shape, lp_array *array)
{
    size_t count = 1;
    if (!shape || shape->kind != JSON_ARRAY)
        return refuse(q, "an array must have a shape");
    for (const json *axis = shape->child; axis; axis = axis->next) {
        if (array->axes == LP_AXES || !is_length(axis))
            return refuse(q, "a shape must be a list of at most %d lengths", LP_AXES);
        size_t size = (size_t)axis->number;
        if (size && count > SIZE_MAX / 64 / size)
            return refuse(q, "an array must fit into memory");
        count *= size;
        array->shape[array->axes++] = size;
    }
    return true;
}

static bool read_array(request *q, const json *value, lp_array *array)
{
    const json *data = json_member(value, "data");
    *array = (lp_array){.dtype = dtype_of(json_member(value, "dtype"))};
    if (array->dtype == LP_ABSENT || !data || data->kind != JSON_STRING)
        return refuse(q, "an array must have a known dtype and its data in base64");
    if (!read_shape(q, json_member(value, "shape"), array))
        return false;
    size_t bytes = lp_count(array) * lp_element_size(array->dtype);
    if (data->length != base64_size(bytes)) /* before any memory is taken for them */
        return refuse(q, "the data of an array must fit its dtype and shape");
    unsigned char *target = pool_take(&q->memory, bytes, 1);
    if (!target)
        return refuse(q, "out of memory");
    if (!base64_read(data->text, data->length, target, bytes))
        return refuse(q, "the data of an array must be base64");
    array->data = target;
    return true;
}

static void write_array(const lp_array *array, const void *data)
{
    printf("{\"dtype\": \"%s\", \"shape\": [", DTYPES[array->dtype]);
    for (size_t axis = 0; axis < array->axes; axis++)
        printf(axis ? ", %zu" : "%zu", array->shape[axis]);
    printf("], \"data\": \"");
    base64_write(stdout, data, lp_count(array) * lp_element_size(array->dtype));
    printf("\"}");
}

/* ==== Reading a case into a call ==== */

static lp_array *input_place(const request *q, const lp_input *input)
{
    return (lp_array *)(void *)((char *)q->call + input->offset);
}

static bool read_input(request *q, const json *value)
{
    for (size_t i = 0; i < q->signature->input_count; i++) {
        const lp_input *input = &q->signature->inputs[i];
        if (strcmp(input->name, value->name) != 0)
            continue;
        lp_array *array = input_place(q, input);
        if (!read_array(q, value, array))
            return false;
        if (q->wants_gradients && input->flags & LP_DIFFERENTIABLE) {
            array->gradient = pool_take(&q->memory, lp_count(array), lp_element_size(array->dtype));
            if (!array->gradient)
                return refuse(q, "out of memory");
        }
        return true;
    }
    return refuse(q, "%s has no input %.60s", q->signature->name, value->name); /* CV-38 */
}

/* A number of a parameter: JSON's, or one of the words for those that it does not have. */
static bool number_of(const json *value, double *number)
{
    static const char *const words[] = {"inf", "-inf", "nan"};
    const double numbers[] = {INFINITY, -INFINITY, NAN};
    if (value->kind == JSON_NUMBER) {
        *number = value->number;
        return true;
    }
    for (size_t i = 0; i < 3; i++) {
        if (json_is(value, words[i])) {
            *number = numbers[i];
            return true;
        }
    }
    return false;
}

/* A whole number of 64 bits, exactly; 2.0 is 2 here. */
static bool whole_of(const json *value, int64_t *number)
{
    char *end;
    if (value->kind != JSON_NUMBER || value->number != floor(value->number))
        return false;
    if (!(fabs(value->number) < 9223372036854775808.0))
        return false;
    *number = strtoll(value->text, &end, 10);
    if (end != value->text + value->length)
        *number = (int64_t)value->number;
    return true;
}

/* As that; but a bound beyond 64 bits bounds nothing. */
static bool count_of(const json *value, const lp_option *option, int64_t *number)
{
    bool is_bound = isinf(option->fallback) && value->kind == JSON_NUMBER;
    if (is_bound && isfinite(value->number) && value->number >= 9223372036854775808.0) {
        *number = LP_NO_BOUND;
        return true;
    }
    return whole_of(value, number);
}

static bool read_choice(request *q, const lp_option *option, const json *value, int *chosen)
{
    for (int i = 0; option->words[i]; i++) {
        if (*option->words[i] && json_is(value, option->words[i])) {
            *chosen = i;
            return true;
        }
    }
    return refuse(q, "%s must be one of the words of the page, got %.60s", option->name, /* CV-27 */
                  value->kind == JSON_STRING ? value->text : "no string");
}

static bool read_option(request *q, const lp_option *option, const json *value) /* CV-37 */
{
    void *place = (char *)q->call + option->offset;
    switch (option->kind) {
    case LP_KIND_REAL:
        return number_of(value, place) || refuse(q, "%s must be a number", option->name);
    case LP_KIND_INTEGER:
        return count_of(value, option, place) || refuse(q, "%s must be an integer of 64 bits", option->name);
    case LP_KIND_CHOICE:
        return read_choice(q, option, value, place);
    default:
        if (value->kind != JSON_BOOL)
            return refuse(q, "%s must be true or false", option->name);
        *(bool *)place = value->boolean;
        return true;
    }
}

static bool read_parameter(request *q, const json *value)
{
    for (size_t i = 0; i < q->signature->option_count; i++)
        if (strcmp(q->signature->options[i].name, value->name) == 0)
            return read_option(q, &q->signature->options[i], value);
    return refuse(q, "%s has no option %.60s", q->signature->name, value->name); /* CV-38 */
}

static bool read_call(request *q, const json *message)
{
    const json *inputs = json_member(message, "inputs"), *parameters = json_member(message, "parameters");
    if (!inputs || inputs->kind != JSON_OBJECT || !parameters || parameters->kind != JSON_OBJECT)
        return refuse(q, "a case must have inputs and parameters");
    q->call = pool_take(&q->memory, 1, q->signature->size);
    if (!q->call)
        return refuse(q, "out of memory");
    lp_defaults(q->signature, q->call);
    for (const json *input = inputs->child; input; input = input->next)
        if (!read_input(q, input))
            return false;
    for (const json *parameter = parameters->child; parameter; parameter = parameter->next)
        if (!read_parameter(q, parameter))
            return false;
    return true;
}

/* ==== Asking and answering ==== */

static bool find_signature(request *q, const json *message)
{
    const json *name = json_member(message, "loss"), *mode = json_member(message, "mode");
    const json *order = json_member(message, "order");
    for (const lp_signature *const *s = lp_catalogue; *s && !q->signature; s++)
        if (json_is(name, (*s)->name) && !(*s)->is_random)
            q->signature = *s;
    if (!q->signature)
        return refuse(q, "a case must name a loss or a function that is offered");
    q->wants_gradients = order && order->kind == JSON_NUMBER && order->number >= 1.0;
    q->unsupported = !json_is(mode, "eager") || (order && order->kind == JSON_NUMBER && order->number > 1.0);
    return !q->unsupported || refuse(q, "eager calls and first derivatives alone are offered");
}

static bool read_cotangent(request *q, const json *value, const lp_array *result, const double **cotangent)
{
    lp_array array;
    if (!value || value->kind == JSON_NULL || !q->signature->is_loss)
        return true;
    if (!read_array(q, value, &array))
        return false;
    if (array.dtype != LP_FLOAT64 || lp_count(&array) != lp_count(result))
        return refuse(q, "the cotangent must be float64 and have the shape of the value");
    *cotangent = array.data;
    return true;
}

static bool run_call(request *q, const json *message, lp_array results[LP_RESULTS])
{
    void *places[LP_RESULTS] = {NULL};
    const double *cotangent = NULL;
    lp_error error = {""};
    if (lp_describe(q->signature, q->call, results, &error) != LP_OK)
        return refuse(q, "%s", error.message);
    for (size_t i = 0; i < q->signature->return_count; i++) {
        places[i] = pool_take(&q->memory, lp_count(&results[i]), lp_element_size(results[i].dtype));
        if (!places[i])
            return refuse(q, "out of memory");
        results[i].data = places[i];
    }
    if (!read_cotangent(q, json_member(message, "cotangent"), &results[0], &cotangent))
        return false;
    if (lp_run(q->signature, q->call, cotangent, places, &error) != LP_OK)
        return refuse(q, "%s", error.message);
    return true;
}

static void write_results(const request *q, const lp_array results[LP_RESULTS])
{
    printf(q->signature->is_loss ? ", \"value\": " : ", \"results\": [");
    for (size_t i = 0; i < q->signature->return_count; i++) {
        printf(i ? ", " : "");
        write_array(&results[i], results[i].data);
    }
    printf(q->signature->is_loss ? "" : "]");
}

static void write_gradients(const request *q)
{
    size_t written = 0;
    for (size_t i = 0; i < q->signature->input_count; i++) {
        const lp_array *array = input_place(q, &q->signature->inputs[i]);
        if (!array->gradient)
            continue;
        printf(written++ ? ", \"%s\": " : ", \"gradients\": {\"%s\": ", q->signature->inputs[i].name);
        write_array(array, array->gradient);
    }
    printf(written ? "}" : "");
}

static void write_error(long long id, const char *message, bool unsupported)
{
    printf("{\"type\": \"answer\", \"id\": %lld, ", id);
    printf(unsupported ? "\"unsupported\": " : "\"error\": {\"type\": \"ValueError\", \"message\": ");
    json_write_text(stdout, message);
    printf(unsupported ? "}\n" : "}}\n");
}

static long long id_of(const json *message) /* -1 where the line has none that can be read */
{
    int64_t id = -1;
    const json *value = json_member(message, "id");
    return value && whole_of(value, &id) ? id : -1;
}

static void answer_case(const json *message)
{
    request q = {.id = id_of(message)};
    lp_array results[LP_RESULTS] = {{0}};
    if (find_signature(&q, message) && read_call(&q, message) && run_call(&q, message, results)) {
        printf("{\"type\": \"answer\", \"id\": %lld", q.id);
        write_results(&q, results);
        write_gradients(&q);
        printf("}\n");
    } else {
        write_error(q.id, q.message, q.unsupported);
    }
    pool_release(&q.memory);
}

static void write_offers(bool losses)
{
    const char *before = "";
    for (const lp_signature *const *s = lp_catalogue; *s; s++) {
        if ((*s)->is_loss != losses || (*s)->is_random) /* what draws at random is not judged */
            continue;
        printf("%s\"%s\": {\"accepts\": null}", before, (*s)->name);
        before = ", ";
    }
}

static bool is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static void answer_hello(const json *message)
{
    const json *protocol = json_member(message, "protocol");
    if (!protocol || protocol->kind != JSON_NUMBER || protocol->number != 1.0 || !is_little_endian()) {
        printf("{\"type\": \"refused\", \"reason\": ");
        json_write_text(stdout, "protocol 1, on a little-endian machine, is all that is spoken");
        printf("}\n");
        return;
    }
    printf("{\"type\": \"hello\", \"protocol\": 1, \"name\": \"C port\", \"version\": \"1.0\", \"framework\": \"C\", "
           "\"framework_version\": \"11\", \"device\": \"cpu\", \"dtypes\": [\"float64\", \"float32\"], "
           "\"modes\": [\"eager\"], \"orders\": [0, 1], \"integers\": [\"int64\", \"int32\", \"int16\", \"int8\", "
           "\"uint8\", \"uint16\", \"uint32\", \"uint64\"], \"losses\": {");
    write_offers(true);
    printf("}, \"functions\": {");
    write_offers(false);
    printf("}}\n");
}

/* Answer one line; false where it says goodbye. */
static bool answer_line(char *line, size_t length)
{
    pool memory = {NULL};
    const char *reason = NULL;
    const json *message = json_read(&memory, line, length, &reason), *type = json_member(message, "type");
    bool bye = json_is(type, "bye");
    if (!message)
        write_error(-1, reason, false);
    else if (json_is(type, "hello"))
        answer_hello(message);
    else if (json_is(type, "case"))
        answer_case(message);
    else if (!bye)
        write_error(id_of(message), "a message must be a hello, a case or a bye", false);
    fflush(stdout);
    pool_release(&memory);
    return !bye;
}

/* ==== Lines of any length ==== */

typedef struct {
    char *text;
    size_t length, room;
    bool lost; /* there was no memory for all of it */
} line_buffer;

static void append(line_buffer *line, char c)
{
    if (line->length + 1 >= line->room && !line->lost) {
        size_t room = line->room ? 2 * line->room : 4096;
        char *larger = realloc(line->text, room);
        line->lost = !larger;
        line->text = larger ? larger : line->text;
        line->room = larger ? room : line->room;
    }
    if (!line->lost)
        line->text[line->length++] = c;
}

/* Read up to the end of a line; false where the input has ended and nothing is left of it. */
static bool read_line(line_buffer *line)
{
    int c = getchar();
    line->length = 0;
    line->lost = false;
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n'; c = getchar())
        append(line, (char)c);
    append(line, '\0');
    return true;
}

int main(void)
{
    line_buffer line = {NULL, 0, 0, false};
    bool goes_on = true;
    while (goes_on && read_line(&line)) {
        if (line.lost) {
            write_error(-1, "out of memory", false);
            fflush(stdout);
        } else {
            goes_on = answer_line(line.text, line.length - 1);
        }
    }
    free(line.text);
    return 0;
}
