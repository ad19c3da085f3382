# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
<#
.SYNOPSIS
    TheBox on Windows, in WSL2 (Ubuntu 24.04) or in Docker Desktop.
.DESCRIPTION
    thebox.ps1 install    WSL2: installs Ubuntu 24.04, copies the workspace into it and builds
    thebox.ps1 up         starts the box; further arguments go to ./thebox up
    thebox.ps1 down       stops it
    thebox.ps1 doctor     what is missing
    With -Docker the same in Docker Desktop, whose "host networking" must be enabled.
    Sensors on the network reach WSL2 only with networkingMode=mirrored in %UserProfile%\.wslconfig
    (Windows 11 22H2 or newer); install says so when it is not set.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true, Position = 0)]
    [ValidateSet('install', 'up', 'down', 'doctor')]
    [string] $Action,
    [switch] $Docker,
    [string] $Distribution = 'Ubuntu-24.04',
    [Parameter(ValueFromRemainingArguments = $true)]
    [string[]] $Rest = @()
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$Root = (Resolve-Path (Join-Path $PSScriptRoot '..\..')).Path

function Assert-Success([string] $What) {
    if ($LASTEXITCODE -ne 0) { throw "$What failed with exit code $LASTEXITCODE" }
}

function Test-Mirrored {
    $file = Join-Path $env:USERPROFILE '.wslconfig'
    (Test-Path $file) -and ((Get-Content $file -Raw) -match '(?im)^\s*networkingMode\s*=\s*mirrored')
}

function Invoke-Wsl([string[]] $Command) {
    & wsl.exe --distribution $Distribution --cd '~/thebox' -- @Command
    Assert-Success "wsl $($Command -join ' ')"
}

if ($Docker) {
    $compose = Join-Path $Root 'docker\compose.yaml'
    switch ($Action) {
        'install' { & docker compose -f $compose build }
        'up' { & docker compose -f $compose up -d box }
        'down' { & docker compose -f $compose down }
        'doctor' { & docker compose -f $compose run --rm --entrypoint /opt/thebox/thebox box doctor }
    }
    Assert-Success "docker compose ($Action)"
    return
}

switch ($Action) {
    'install' {
        $installed = (& wsl.exe --list --quiet) -replace "`0", '' | ForEach-Object { $_.Trim() }
        if ($installed -notcontains $Distribution) {
            & wsl.exe --install --distribution $Distribution --no-launch
            Assert-Success 'wsl --install (run PowerShell as administrator, then restart Windows)'
        }
        $source = (& wsl.exe --distribution $Distribution -- wslpath -a $Root.Replace('\', '/')).Trim()
        Assert-Success 'wslpath'
        # In Linux's own file system: on /mnt/c a build takes many times as long.
        & wsl.exe --distribution $Distribution -- bash -c 'mkdir -p ~/thebox && cp -a "$0"/. ~/thebox/' $source
        Assert-Success 'copying the workspace'
        Invoke-Wsl @('./thebox', 'build')
        if (-not (Test-Mirrored)) {
            Write-Warning 'Sensors on the network do not reach WSL2 yet: set networkingMode=mirrored under [wsl2] in .wslconfig, then run: wsl --shutdown'
        }
    }
    'up' { Invoke-Wsl (@('./thebox', 'up', '--detach') + $Rest) }
    'down' { Invoke-Wsl @('./thebox', 'down') }
    'doctor' { Invoke-Wsl @('./thebox', 'doctor') }
}
