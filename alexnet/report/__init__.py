"""Tables, figures and the page that show what a run found, beside what the paper found."""
