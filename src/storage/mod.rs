//! The file system seam and the log: what makes a commit last.
