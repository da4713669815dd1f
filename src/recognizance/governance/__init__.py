"""Who may do what: access keys, principals and roles."""
