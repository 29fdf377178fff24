// Look again until the archive is ready.

setTimeout(() => location.reload(), 2000);
