//! Readers of kickstarts and treefiles.
