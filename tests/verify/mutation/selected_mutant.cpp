// The mutant that this simulation has; the server of simulations sets it in each process that it forks.
extern "C" {

static int selected = 0;

int moesaic_selected_mutant() { return selected; }

void moesaic_select_mutant(int number) { selected = number; }
}
