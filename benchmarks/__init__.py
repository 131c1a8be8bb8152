"""What things cost. Figures are ratios to a floor measured in the same run; absolute ones are this machine's."""
