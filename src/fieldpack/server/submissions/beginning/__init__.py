"""How a participant starts or resumes a submission: who may, and what they have to show."""
