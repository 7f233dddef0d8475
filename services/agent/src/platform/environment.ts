const common = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR']

/** Programs of Windows find the system, its shell, and each other by these. */
const windows = [
  ...['PATH', 'PATHEXT', 'COMSPEC', 'SYSTEMROOT', 'SYSTEMDRIVE', 'WINDIR', 'OS', 'TEMP', 'TMP', 'TZ', 'COMPUTERNAME'],
  ...['USERNAME', 'USERDOMAIN', 'USERPROFILE', 'HOMEDRIVE', 'HOMEPATH', 'APPDATA', 'LOCALAPPDATA', 'PUBLIC'],
  ...['PROGRAMDATA', 'ALLUSERSPROFILE', 'PROGRAMFILES', 'PROGRAMFILES(X86)', 'PROGRAMW6432', 'COMMONPROGRAMFILES'],
  ...['COMMONPROGRAMFILES(X86)', 'COMMONPROGRAMW6432', 'PSMODULEPATH', 'NUMBER_OF_PROCESSORS'],
  ...['PROCESSOR_ARCHITECTURE', 'PROCESSOR_IDENTIFIER', 'PROCESSOR_LEVEL', 'PROCESSOR_REVISION']
]

/**
 * What a program gets to see of the agent's environment: nothing that could hold a secret. Windows does not tell capitals apart
 * in names.
 */
export function passedEnvironment(env: NodeJS.ProcessEnv, platform: string = process.platform): NodeJS.ProcessEnv {
  const isPassed =
    platform === 'win32'
      ? (name: string) => windows.includes(name.toUpperCase())
      : (name: string) => common.includes(name)
  return Object.fromEntries(Object.entries(env).filter(([name]) => isPassed(name)))
}
