def profile_page(profile):
    return ""
