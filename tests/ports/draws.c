/* What test_c.py asks of the functions that draw: one line a result, its name first. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "lossproof.h"

enum { DRAWS = 6000 };

static void print(const char *name, const int64_t *numbers, int64_t count)
{
    printf("%s", name);
    for (int64_t i = 0; i < count; i++)
        printf(" %" PRId64, numbers[i]);
    printf("\n");
}

static const int64_t REFUSED[] = {-2};

static void print_from_labels(const char *name, const int64_t *labels, size_t size, int64_t n, uint64_t seed)
{
    static int64_t out[3 * DRAWS];
    static unsigned char dissimilar[DRAWS];
    lp_random random = lp_seed(seed);
    lp_label_draws call;
    lp_error error;
    lp_defaults(&lp_sample_triplets_signature, &call);
    call.labels = lp_vector(LP_INT64, size, labels);
    call.random = &random;
    call.n = n;
    bool drawn = lp_sample_triplets(&call, out, &error) == LP_OK;
    printf("%s ", name);
    print("triplets", drawn ? out : REFUSED, drawn ? 3 * n : 1);
    drawn = lp_sample_pairs(&call, out, dissimilar, &error) == LP_OK;
    printf("%s ", name);
    print("pairs", drawn ? out : REFUSED, drawn ? 2 * n : 1);
}

static void print_active(const char *name, const double *terms, size_t size, int64_t n)
{
    static int64_t out[DRAWS];
    lp_random random = lp_seed(3);
    lp_active_draws call;
    lp_defaults(&lp_sample_active_signature, &call);
    call.terms = lp_vector(LP_FLOAT64, size, terms);
    call.random = &random;
    call.n = n;
    print(name, out, lp_sample_active(&call, out, NULL) == LP_OK ? n : 0);
}

static void print_negatives(const char *name, bool easy, bool hard, int64_t size, uint64_t seed)
{
    const double rows[] = {0.0, 1.0, 2.0, 4.0, NAN, 2.0};
    const int64_t labels[] = {5, 5, 6, 7, 5, 8};
    const unsigned char mask[] = {1, 1, 1, 1, 1, 0};
    int64_t side[3][30], picks = 0;
    lp_random random = lp_seed(seed);
    lp_negative_draws call;
    lp_defaults(&lp_sample_negatives_signature, &call);
    call.embeddings = lp_matrix(LP_FLOAT64, 6, 1, rows);
    call.labels = lp_vector(LP_INT64, 6, labels);
    call.mask = lp_vector(LP_BOOL, 6, mask);
    call.random = &random;
    call.margin = 4.0;
    call.easy = easy;
    call.hard = hard;
    call.size = size;
    if (lp_sample_negatives(&call, side[0], side[1], side[2], &picks, NULL) != LP_OK)
        picks = 0;
    for (int64_t i = 0; i < (size == LP_NO_BOUND ? picks : size); i++)
        print(name, (const int64_t[]){side[0][i], side[1][i], side[2][i]}, 3);
}

int main(void)
{
    const int64_t labels[] = {9, 5, 5, 9, 7, 5}, alone[] = {1, 2, 3};
    print_from_labels("many", labels, 6, DRAWS, 1);
    print_from_labels("again", labels, 6, DRAWS, 1);
    print_from_labels("alone", alone, 3, 1, 1);
    print_from_labels("none", alone, 3, 0, 1);
    print_active("active", (const double[]){0.0, 0.5, NAN, 2.0}, 4, DRAWS);
    print_active("inactive", (const double[]){0.0, 0.0}, 2, 2);
    print_negatives("semi_hard", false, false, LP_NO_BOUND, 1);
    print_negatives("with_hard", false, true, LP_NO_BOUND, 1);
    print_negatives("filled", false, true, 3, 1);
    for (uint64_t seed = 0; seed < 1000; seed++)
        print_negatives("thinned", false, true, 1, seed);
    for (uint64_t seed = 0; seed < 1000; seed++)
        print_negatives("drawn", true, true, LP_NO_BOUND, seed);
    return 0;
}
