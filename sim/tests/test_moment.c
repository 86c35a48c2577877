#include <criterion/criterion.h>
#include "actor.h"
Test(cluster, x) { }
