"""What each part of the recipe is worth: the full recipe, and a row for each thing taken away."""
