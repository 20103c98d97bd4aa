"""HTTP manners: reading bodies and headers, rendering answers and problems, the frame around every request."""
