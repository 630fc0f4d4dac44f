"""What people and agents want kept of a project, and what was done about tasks like this one."""
