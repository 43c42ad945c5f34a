/* The losses and functions of the Lossproof spec in C11, with analytic gradients.
 *
 * A call is a struct: its input arrays and its options, in the order of the page. Fill it in three steps:
 *
 *     lp_triplet_margin call;
 *     lp_defaults(&lp_triplet_margin_signature, &call);         every option has its default, no array is given
 *     call.anchor = lp_matrix(LP_FLOAT32, rows, features, data);
 *     call.anchor.gradient = room_for_as_many_numbers;          or NULL, where no gradient is wanted
 *
 * and call the function. Arrays are contiguous, in row-major order. What a call reads and what it writes belongs to the
 * caller; a call frees what it allocates before it returns, changes no input, and has no state. It checks its arguments
 * first and writes nothing where it refuses them. Arithmetic is in double. A loss is float64 where an input is, and
 * float32 otherwise; a gradient has the dtype of its input (CV-18). The gradients are those of sum(cotangent * value).
 */
#ifndef LOSSPROOF_H
#define LOSSPROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LP_AXES 8     /* the most axes of an array */
#define LP_RESULTS 4  /* the most arrays that a function returns */
#define LP_NO_BOUND INT64_MAX

/* ---- Arrays ---- */

/* LP_ABSENT is an input that is not given. The half formats have a name so that they can be refused by it. */
typedef enum {
    LP_ABSENT, LP_FLOAT16, LP_BFLOAT16, LP_FLOAT32, LP_FLOAT64, LP_BOOL,
    LP_INT8, LP_INT16, LP_INT32, LP_INT64, LP_UINT8, LP_UINT16, LP_UINT32, LP_UINT64
} lp_dtype;

typedef struct {
    lp_dtype dtype;
    size_t axes;
    size_t shape[LP_AXES];
    const void *data; /* a boolean is one byte, 0 or 1 */
    void *gradient;   /* room for the gradient of a differentiable input, in its dtype; or NULL */
} lp_array;

lp_array lp_vector(lp_dtype dtype, size_t length, const void *data);
lp_array lp_matrix(lp_dtype dtype, size_t rows, size_t columns, const void *data);
size_t lp_count(const lp_array *array);      /* the number of its elements */
size_t lp_element_size(lp_dtype dtype);      /* in bytes */

/* ---- Outcome of a call ---- */

typedef enum { LP_OK, LP_INVALID, LP_NO_MEMORY } lp_status;

typedef struct {
    char message[256]; /* names the argument, the value and what was expected */
} lp_error;

/* ---- Words of the options ---- */

typedef enum { LP_P_NORM, LP_EUCLIDEAN, LP_SQUARED_EUCLIDEAN, LP_COSINE } lp_distance;
typedef enum { LP_AT_DIFFERENCE, LP_AT_ROOT, LP_AT_FLOOR } lp_eps_at;
typedef enum { LP_GRAM, LP_DIRECT } lp_pairwise; /* both are computed from differences here (PW-6) */
typedef enum { LP_KEEP, LP_LINEAR, LP_CONTINUOUS } lp_beyond_pi;
typedef enum { LP_NONE, LP_SUM, LP_MEAN, LP_MEAN_NONZERO } lp_reduction;

/* ---- Calls, in the order of the catalogue. "?" marks an optional array. ---- */

/* What the mined losses compare. */
typedef struct {
    lp_array embeddings;       /* (B, D) */
    lp_array labels;           /* (B,) integers */
    lp_array mask;             /* ? (B,) bool */
    lp_array weights;          /* ? (B,) */
    lp_array candidates;       /* ? (M, D) */
    lp_array candidate_labels; /* ? (M,) integers */
    lp_array candidate_mask;   /* ? (M,) bool */
    lp_array candidate_index;  /* ? (B,) integers in [-1, M) */
} lp_batch;

typedef struct {
    lp_array anchor, positive, negative; /* (..., D) */
    lp_array mask, weights;              /* ? (...) */
    double margin;
    bool soft_margin;
    lp_distance distance;
    double p, eps;
    lp_eps_at eps_at;
    bool swap;
    lp_reduction reduction;
} lp_triplet_margin;

typedef struct {
    lp_array x1, x2;        /* (..., D) */
    lp_array dissimilar;    /* (...) bool */
    lp_array mask, weights; /* ? (...) */
    double margin, factor;
    lp_distance distance;
    double p, eps;
    lp_eps_at eps_at;
    lp_reduction reduction;
} lp_contrastive;

typedef struct {
    lp_batch batch;
    double margin;
    bool soft_margin;
    lp_distance distance;
    double floor;
    bool include_self;
    lp_reduction reduction;
} lp_batch_hard;

typedef struct {
    lp_batch batch; /* batch_all_active_fraction reads embeddings, labels and mask alone */
    double margin;
    lp_distance distance;
    lp_pairwise pairwise;
    int64_t max_positives; /* LP_NO_BOUND: not given */
    lp_reduction reduction;
} lp_batch_all;

typedef struct {
    lp_batch batch;
    double margin;
    bool soft_margin;
    lp_distance distance;
    lp_pairwise pairwise;
    int64_t max_positives;
    lp_reduction reduction;
} lp_semi_hard;

typedef struct {
    lp_array embeddings;    /* (B, D) */
    lp_array labels;        /* (B,) integers in [0, C) */
    lp_array centers;       /* (C, D) */
    lp_array mask, weights; /* ? (B,) */
    double factor, floor, ceiling;
    lp_reduction reduction;
} lp_center;

typedef struct {
    lp_array centers, embeddings, labels, mask;
    double alpha;
} lp_center_update;

typedef struct {
    lp_array embeddings;    /* (B, D) */
    lp_array labels;        /* (B,) integers in [0, C), or unlabelled */
    lp_array lookup_table;  /* (C, D) */
    lp_array queue;         /* (Q, D) */
    lp_array mask, weights; /* ? (B,) */
    double temperature;
    int64_t unlabelled;
    lp_reduction reduction;
} lp_oim;

typedef struct {
    lp_array lookup_table, queue;
    lp_array head; /* () an integer in [0, Q) */
    lp_array embeddings, labels, mask;
    double momentum;
    bool normalise;
    int64_t unlabelled;
} lp_oim_update;

typedef struct {
    lp_batch batch;
    double margin, gamma;
    bool detach_weights;
    lp_reduction reduction;
} lp_circle;

typedef struct {
    lp_array embeddings;    /* (B, D) */
    lp_array labels;        /* (B,) integers in [0, C) */
    lp_array class_weights; /* (C, D) */
    lp_array mask, weights; /* ? (B,) */
    double scale, margin;
    lp_beyond_pi beyond_pi;
    lp_reduction reduction;
} lp_arcface;

typedef struct {
    lp_array embeddings, class_weights;
    double scale;
} lp_arcface_rows;

typedef struct {
    lp_array embeddings, labels, class_weights, mask, weights;
    double scale, margin;
    lp_reduction reduction;
} lp_cosface;

typedef struct {
    lp_array logits;        /* (B, K) */
    lp_array labels;        /* (B,) integers in [0, K) */
    lp_array mask, weights; /* ? (B,) */
    lp_array class_weights; /* ? (K,) */
    double label_smoothing;
    lp_reduction reduction;
} lp_cross_entropy;

typedef struct {
    lp_array logits, targets; /* (B, K) */
    lp_array mask, weights;   /* ? (B,) */
    lp_array class_weights;   /* ? (K,) */
    double label_smoothing;
    lp_reduction reduction;
} lp_soft_cross_entropy;

typedef struct {
    lp_array logits;        /* (B, K) */
    lp_array embeddings;    /* (B, D) */
    lp_array labels;        /* (B,) integers in [0, K) */
    lp_array centers;       /* (K, D) */
    lp_array mask, weights; /* ? (B,) */
    double triplet_weight, center_weight, triplet_margin, label_smoothing;
} lp_joint;

typedef struct {
    lp_array labels; /* (B,) integers */
    lp_array mask;   /* ? (B,) */
} lp_masks;

typedef struct {
    lp_array d_ap, d_an; /* (...) */
    double margin;       /* has no default */
} lp_difficulty;

/* A state of randomness: whoever draws moves it on, and a copy of it draws the same again. */
typedef struct {
    uint64_t state;
} lp_random;

typedef struct {
    lp_array labels;   /* (N,) integers */
    lp_random *random; /* of the caller */
    int64_t n;         /* has no default */
} lp_label_draws;

typedef struct {
    lp_array terms; /* (N,) */
    lp_random *random;
    int64_t n; /* has no default */
} lp_active_draws;

typedef struct {
    lp_array embeddings, labels, mask; /* (B, D), (B,), ? (B,) */
    lp_random *random;
    double margin;              /* has no default */
    bool easy, semi_hard, hard; /* `kinds`: one or more of the three; semi-hard alone by default */
    lp_distance distance;
    int64_t size; /* LP_NO_BOUND: not given */
} lp_negative_draws;

typedef struct {
    lp_array distances;  /* (N,) */
    lp_array same;       /* (N,) bool */
    lp_array thresholds; /* (T,) or (), ascending; verification_rates and verification_accuracy alone read them */
    double far;          /* val_at_far alone reads it */
} lp_verification;

/* ---- The losses. `cotangent` has the shape of the value; NULL means ones. `value` has room for one number, or, with
 * LP_NONE, for one number a unit: (...) or (B,), and (B, M) for semi-hard, with M = B without a second set. ---- */

lp_status lp_triplet_margin_loss(const lp_triplet_margin *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_contrastive_loss(const lp_contrastive *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_batch_hard_triplet_loss(const lp_batch_hard *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_batch_all_triplet_loss(const lp_batch_all *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_semi_hard_triplet_loss(const lp_semi_hard *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_center_loss(const lp_center *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_oim_loss(const lp_oim *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_circle_loss(const lp_circle *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_arcface_loss(const lp_arcface *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_cosface_loss(const lp_cosface *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_cross_entropy_loss(const lp_cross_entropy *call, const double *cotangent, void *value, lp_error *error);
lp_status lp_soft_cross_entropy_loss(const lp_soft_cross_entropy *call, const double *cotangent, void *value,
                                     lp_error *error);
lp_status lp_joint_loss(const lp_joint *call, const double *cotangent, void *value, lp_error *error);

/* ---- The functions that are no losses. Each writes arrays of the shape and dtype that lp_describe names. ---- */

lp_status lp_batch_all_active_fraction(const lp_batch_all *call, void *fraction, lp_error *error);
lp_status lp_update_centers(const lp_center_update *call, void *centers, lp_error *error);
lp_status lp_update_oim_memory(const lp_oim_update *call, void *lookup_table, void *queue, void *head, lp_error *error);
lp_status lp_arcface_logits(const lp_arcface_rows *call, void *logits, lp_error *error);
lp_status lp_triplet_masks(const lp_masks *call, void *positive, void *negative, lp_error *error);
lp_status lp_classify_triplets(const lp_difficulty *call, void *code, lp_error *error);

/* Any number is a seed. The rows of `triplets` (n, 3) and `pairs` (n, 2) are indices. */
lp_random lp_seed(uint64_t number);
lp_status lp_sample_triplets(const lp_label_draws *call, int64_t *triplets, lp_error *error);
lp_status lp_sample_pairs(const lp_label_draws *call, int64_t *pairs, unsigned char *dissimilar, lp_error *error);
lp_status lp_sample_active(const lp_active_draws *call, int64_t *index, lp_error *error);

/* With a size the arrays hold that many indices, and without one they have room for B * (B - 1). The first `picks` of
 * them are triplets, and the rest is -1. */
lp_status lp_sample_negatives(const lp_negative_draws *call, int64_t *a, int64_t *p, int64_t *n, int64_t *picks,
                              lp_error *error);

lp_status lp_verification_rates(const lp_verification *call, void *val, void *far, lp_error *error);
lp_status lp_verification_accuracy(const lp_verification *call, void *accuracy, lp_error *error);
lp_status lp_best_accuracy(const lp_verification *call, void *accuracy, void *threshold, lp_error *error);
lp_status lp_val_at_far(const lp_verification *call, void *val, void *threshold, lp_error *error);

/* ---- Signatures: the tables of the pages, for checks of arguments and for programs that go by names ---- */

typedef enum { LP_KIND_FLOAT, LP_KIND_WEIGHT, LP_KIND_LABEL, LP_KIND_BOOL, LP_KIND_INDEX } lp_input_kind;
typedef enum { LP_KIND_REAL, LP_KIND_INTEGER, LP_KIND_FLAG, LP_KIND_CHOICE } lp_option_kind;

enum {
    LP_OPTIONAL = 1,       /* the input may be left out */
    LP_DIFFERENTIABLE = 2, /* it has a gradient */
    LP_WIDER = 4,          /* its dtype may be wider than that of the rows (CV-26) */
    LP_SCALAR = 8          /* it may be one number without axes (VE-6) */
};

typedef struct {
    const char *name;
    size_t offset; /* of its lp_array in the call */
    lp_input_kind kind;
    const char *shape; /* letters of the axes, with "..." for any */
    unsigned flags;
} lp_input;

typedef struct {
    const char *name;
    size_t offset; /* of a double, an int64_t, a bool or an enum in the call */
    lp_option_kind kind;
    double fallback;          /* the default; NaN where there is none, infinity for LP_NO_BOUND */
    const char *range;        /* an interval as on the page, or NULL */
    const char *const *words; /* of a choice: by their enum value, up to NULL; "" is not offered */
    bool p_norm_only;         /* the option belongs to `distance = p_norm` (DI-21) */
} lp_option;

typedef struct {
    const char *name;
    const char *shape; /* letters of the axes, and digits for lengths that do not change */
    lp_dtype dtype; /* LP_ABSENT: that of `like`, or of the arithmetic */
    const char *like;
} lp_return;

struct lp_frame;

typedef struct {
    const char *name;
    size_t size; /* of the call, in bytes */
    const lp_input *inputs;
    size_t input_count;
    const lp_option *options;
    size_t option_count;
    const lp_return *returns;
    size_t return_count;
    bool is_loss, is_random;
    void (*compute)(struct lp_frame *frame);
} lp_signature;

extern const lp_signature lp_triplet_margin_signature, lp_contrastive_signature, lp_batch_hard_signature,
    lp_batch_all_signature, lp_active_fraction_signature, lp_semi_hard_signature, lp_center_signature,
    lp_update_centers_signature, lp_oim_signature, lp_update_oim_memory_signature, lp_circle_signature,
    lp_arcface_signature, lp_arcface_logits_signature, lp_cosface_signature, lp_cross_entropy_signature,
    lp_soft_cross_entropy_signature, lp_joint_signature, lp_triplet_masks_signature, lp_classify_triplets_signature,
    lp_sample_triplets_signature, lp_sample_pairs_signature, lp_sample_active_signature, lp_sample_negatives_signature,
    lp_verification_rates_signature, lp_verification_accuracy_signature, lp_best_accuracy_signature,
    lp_val_at_far_signature;

extern const lp_signature *const lp_catalogue[]; /* all of them, up to NULL */

/* Give every option its default and leave every array out. */
void lp_defaults(const lp_signature *signature, void *call);

/* Check shapes, dtypes and options, and say which arrays come back: dtype, axes and shape, without data. */
lp_status lp_describe(const lp_signature *signature, const void *call, lp_array results[LP_RESULTS], lp_error *error);

/* Call any function of the catalogue; `results` are the places to write to, in the order of the page. */
lp_status lp_run(const lp_signature *signature, const void *call, const double *cotangent, void *const *results,
                 lp_error *error);

#endif
