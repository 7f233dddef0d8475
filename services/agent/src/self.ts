import { fileURLToPath } from 'node:url'

/**
 * The file that starts this program: `main.js` beside this one, or, in the bundle, where all modules are one file, that
 * file.
 */
export const mainFile = fileURLToPath(
  import.meta.url.endsWith('/self.js') ? new URL('./main.js', import.meta.url) : import.meta.url
)
