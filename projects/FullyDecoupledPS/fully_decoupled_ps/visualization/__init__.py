"""What people look at: ranked pictures, training curves and the report page."""
