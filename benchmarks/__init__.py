"""What Wolke costs, beside the budgets of its design: ``./run bench``. Figures of a shared machine are upper bounds."""
