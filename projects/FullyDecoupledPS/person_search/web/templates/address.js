// Back and Forward lead to what was shown; the address says what that is.
window.addEventListener('popstate', () => trigger('back', { address: location.search }));
