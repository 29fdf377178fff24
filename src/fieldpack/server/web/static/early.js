document.documentElement.classList.add('js');
if (navigator.maxTouchPoints > 0) document.documentElement.classList.add('touch');
