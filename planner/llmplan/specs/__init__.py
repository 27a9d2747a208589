"""What a thing is: frozen records with units, standard library only."""
